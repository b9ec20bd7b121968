"""Plans a rollback."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from rollback_provider.core.cause import Cause
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.lock import owner_of
from rollback_provider.core.lookup import find_snapshot, find_undoing
from rollback_provider.core.model import Policy, Snapshot, utcnow
from rollback_provider.core.planner import generate
from rollback_provider.core.record import load_record
from rollback_provider.core.repository import Repository, Store
from rollback_provider.core.undo import undo
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.hooks.identity import task_actor
from rollback_provider.operators.base import RollbackOperator


class RollbackGenerateOperator(RollbackOperator):
    """Plans the way back to a snapshot, writes plan and ledger to the log and changes nothing; XCom gets the rollback's id.

    Where a rollback of this snapshot has begun and is not finished, no new one is made: its id is returned, and executing it
    continues where it stopped.

    :param snapshot_id: where to go back to
    :param migration: in its place: the newest snapshot of this migration
    :param undo: in their place: the id of a rollback, to plan the way back to the state before it
    :param conflicts: a value that both the migration and, later, an application changed: ``keep`` the application's, ``restore`` the
        snapshot's, or ``fail``
    :param ambiguous: a change that nothing attributes: ``restore`` the snapshot's state, ``keep`` the change, or ``fail``
    :param fill: ``{"schema.table.column": "SQL expression"}`` for rows written since, which have no value for a restored column
    :param only: components, or what they hold (``schema.table``), that alone are rolled back; everything where not given. Text is
        taken for a JSON array, as a template gives it: ``"{{ params.only | tojson }}"``
    :param part: ``schema`` or ``data`` alone, or ``all``
    :param rows: ``{"schema.table": "SQL predicate"}``: of this table only the data of these rows
    :param leave_behind: with `only`: components that were migrated after a chosen one, and may rely on it, may stay as they are
    :param reason: why, for the record and the report
    :param downgrade: components whose own migration tool goes down first; text is taken as for `only`
    :param checkpoint_id: which checkpoint to use; the newest of the snapshot where not given
    :param store: id of a ``rollback_store`` connection, or a URL
    """

    template_fields: Sequence[str] = (
        *RollbackOperator.template_fields,
        "snapshot_id",
        "migration",
        "undo",
        "conflicts",
        "ambiguous",
        "fill",
        "only",
        "leave_behind",
        "downgrade",
        "part",
        "rows",
        "checkpoint_id",
        "reason",
    )

    def __init__(
        self,
        *,
        snapshot_id: str | None = None,
        migration: str | None = None,
        undo: str | None = None,
        conflicts: str = "keep",
        ambiguous: str = "restore",
        fill: Mapping[str, str] | None = None,
        only: Sequence[str] | str = (),
        part: str = "all",
        rows: Mapping[str, str] | None = None,
        leave_behind: bool | str = False,
        downgrade: Sequence[str] | str = (),
        checkpoint_id: str | None = None,
        reason: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot_id = snapshot_id
        self.migration = migration
        self.undo = undo
        self.conflicts = conflicts
        self.ambiguous = ambiguous
        self.fill = fill
        self.only = only
        self.part = part
        self.rows = rows
        self.leave_behind = leave_behind
        self.downgrade = downgrade
        self.checkpoint_id = checkpoint_id
        self.reason = reason

    def run_in(self, context: Any) -> str:
        """Plans, or finds the rollback to go on with; returns its id."""
        from rollback_provider.operators.text import plan_text

        store = self.open_store()
        snapshot = self._snapshot(Repository(store))
        rollback_id = unfinished_rollback(store, snapshot) if snapshot else None
        if rollback_id:
            self.log.warning(
                "Rollback %s has begun and is not finished: it goes on as it was planned, with its own policy",
                rollback_id,
            )
        elif snapshot and not self.undo:
            rollback_id = generate(
                store,
                snapshot.id,
                airflow_connections,
                self.progress,
                actor=task_actor(context),
                policy=self.policy,
                checkpoint_id=self.checkpoint_id or None,
                cause=self.cause(context),
                watch=self.watch,
            ).rollback_id
        else:
            rollback_id = undo(
                store,
                str(self.undo),
                airflow_connections,
                self.progress,
                actor=task_actor(context),
                policy=self.policy,
                watch=self.watch,
            ).rollback_id
        for line in plan_text(load_record(store, rollback_id)):
            self.log.info("%s", line)
        return rollback_id

    def cause(self, context: Any) -> Cause | None:
        """Why the rollback is planned, for the record."""
        return Cause(what=self.reason, source=task_actor(context), time=utcnow()) if self.reason else None

    def _snapshot(self, repository: Repository) -> Snapshot | None:
        """Where to go back to; None where that is only known once it is planned. Raises ConfigurationError, NotFoundError."""
        if not self.undo:
            return find_snapshot(repository, self.snapshot_id, self.migration)
        if self.snapshot_id or self.migration:
            raise ConfigurationError("Give a snapshot, a migration, or a rollback to undo; there are several")
        return find_undoing(repository, self.undo)

    @property
    def policy(self) -> Policy:
        """The policy that was asked for. Raises ConfigurationError."""
        try:
            return Policy.model_validate(
                {
                    "conflicts": self.conflicts,
                    "ambiguous": self.ambiguous,
                    "fill": self.fill or {},
                    "only": _names(self.only),
                    "part": self.part,
                    "rows": self.rows or {},
                    "leave_behind": self.leave_behind,
                    "downgrade": _names(self.downgrade),
                }
            )
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ConfigurationError(f"The policy makes no sense: {problems}") from error
        except json.JSONDecodeError as error:
            raise ConfigurationError(f"`only` or `downgrade` is no JSON array: {error.doc!r}") from error


def _names(value: Sequence[str] | str) -> Any:
    """Names, also as a template gives them: as a JSON array."""
    return json.loads(value) if isinstance(value, str) else value


def unfinished_rollback(store: Store, snapshot: Snapshot) -> str | None:
    """Id of the rollback to this snapshot that has begun and is not finished, if there is one."""
    repository = Repository(store)
    for state in snapshot.components:
        owner = owner_of(store, state.identity)
        if owner and repository.plan(owner).snapshot_id == snapshot.id:
            return owner
    return None
