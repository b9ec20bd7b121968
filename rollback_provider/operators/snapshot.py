"""Takes the snapshot before a migration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rollback_provider.core.capturer import take_snapshot
from rollback_provider.core.checks import parse_checks
from rollback_provider.core.model import Snapshot
from rollback_provider.core.registry import parse_specs
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.hooks.identity import task_actor
from rollback_provider.operators.base import RollbackOperator


class RollbackSnapshotOperator(RollbackOperator):
    """Captures every component's state and seals the snapshot; XCom gets its id. Nothing is sealed unless all succeed.

    Place it right before the migration: rows that applications write in between look like the migration's.

    :param migration: the migration's name, chosen by you
    :param components: one mapping for each system, as in ``spec.yaml``:
        ``{"kind": "postgres", "name": "orders", "connection": "orders_db"}``
    :param checks: what must hold after the migration and after its rollback: ``{"kind": "sql", "name": …, "connection": …, "sql": …}``;
        see the page on checks
    :param store: id of a ``rollback_store`` connection, or a URL
    """

    template_fields: Sequence[str] = (*RollbackOperator.template_fields, "migration", "components", "checks")

    def __init__(
        self,
        *,
        migration: str,
        components: Sequence[dict[str, Any]],
        checks: Sequence[dict[str, Any]] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.migration = migration
        self.components = components
        self.checks = checks

    def run_in(self, context: Any) -> str:
        """Takes the snapshot; returns its id."""
        specs, checks = parse_specs(self.components), parse_checks(self.checks)
        snapshot = take_snapshot(
            self.open_store(),
            self.migration,
            specs,
            airflow_connections,
            self.progress,
            actor=task_actor(context),
            checks=checks,
            watch=self.watch,
        )
        self.log.info("Snapshot %s is sealed", snapshot.id)
        self.log_components(snapshot)
        return snapshot.id

    def log_components(self, snapshot: Snapshot) -> None:
        """Writes what the snapshot holds, one line for each component."""
        for state in snapshot.components:
            counts = ", ".join(f"{count:,} {what}" for what, count in state.summary.items())
            self.log.info("%s (%s): %s", state.spec.name, state.spec.kind, counts or "captured")
        if snapshot.checks:
            self.log.info("Checks: %s", ", ".join(check.spec.name for check in snapshot.checks))
