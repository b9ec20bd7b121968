"""Accepts migrations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from rollback_provider.core.acceptance import accept, accept_older
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.model import utcnow
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.hooks.identity import task_actor
from rollback_provider.operators.base import RollbackOperator


class RollbackAcceptOperator(RollbackOperator):
    """Accepts a migration: it stays, and what it has soft-dropped is dropped for good. XCom gets the ids of the snapshots concerned.

    A rollback stays possible; it then makes what was dropped again from the snapshot, row by row. Refused while a rollback is open.

    :param snapshot_id: the snapshot taken before the migration
    :param older_than: instead: every migration that has soft-dropped anything longer ago than this
    :param dry_run: only write to the log what would go
    :param store: id of a ``rollback_store`` connection, or a URL
    """

    template_fields: Sequence[str] = (*RollbackOperator.template_fields, "snapshot_id")

    def __init__(
        self,
        *,
        snapshot_id: str | None = None,
        older_than: timedelta | None = None,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot_id = snapshot_id
        self.older_than = older_than
        self.only_show = dry_run

    def run_in(self, context: Any) -> list[str]:
        """Accepts; returns the ids of the snapshots whose migrations are, or would be, accepted."""
        if bool(self.snapshot_id) == (self.older_than is not None):
            raise ConfigurationError("Give either snapshot_id or older_than")
        options: dict[str, Any] = {"actor": task_actor(context), "dry_run": self.only_show, "watch": self.watch}
        store, connections = self.open_store(), airflow_connections
        if self.older_than is None:
            report = accept(store, str(self.snapshot_id), connections, self.progress, **options)
        else:
            report = accept_older(store, utcnow() - self.older_than, connections, self.progress, **options)
        for drop in report.dropped if self.only_show else ():
            self.log.info("Would drop for good: %s %s %s", drop.component, drop.kind, drop.scope)
        return list(report.snapshots)
