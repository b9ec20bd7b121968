"""Takes the checkpoint after a migration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rollback_provider.core.capturer import is_complete, take_checkpoint
from rollback_provider.core.model import Attribution, Checkpoint
from rollback_provider.core.repository import Repository, Store
from rollback_provider.core.tracking import end_tracking, was_tracked
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.hooks.identity import task_actor
from rollback_provider.operators.base import RollbackOperator


class RollbackCheckpointOperator(RollbackOperator):
    """Seals what the migration changed since the snapshot; XCom gets the checkpoint's id.

    Where the migrate task has sealed a checkpoint inside its own transaction, that one is kept: it is exact. Where the migration was
    tracked, its log is read, and removed from the systems; its sessions must have ended. Otherwise all that
    changed since the snapshot counts as the migration's: by placing this operator you vouch that nobody else has written since.

    :param snapshot_id: the snapshot taken before the migration
    :param store: id of a ``rollback_store`` connection, or a URL
    """

    template_fields: Sequence[str] = (*RollbackOperator.template_fields, "snapshot_id")

    def __init__(self, *, snapshot_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.snapshot_id = snapshot_id

    def run_in(self, context: Any) -> str | None:
        """Keeps or takes the checkpoint; returns its id."""
        return complete_checkpoint(self, self.open_store(), self.snapshot_id, context)


def complete_checkpoint(task: RollbackOperator, store: Store, snapshot_id: str, context: Any) -> str:
    """Keeps what tells the migration's writes from others', and takes a checkpoint of all other components.

    There every change since the snapshot counts as the migration's. Returns the checkpoint's id.
    """
    repository = Repository(store)
    exact = exact_checkpoint(task, store, snapshot_id, context)
    told = ", ".join(state.spec.name for state in exact.components) if exact else ""
    if exact and is_complete(exact, repository.snapshot(snapshot_id)):
        task.log.info("Checkpoint %s tells the migration's writes from others', and is kept", exact.id)
        return exact.id
    checkpoint = take_checkpoint(
        store,
        snapshot_id,
        airflow_connections,
        task.progress,
        actor=task_actor(context),
        exact=exact,
        watch=task.watch,
    )
    task.log.info(
        "Checkpoint %s is sealed; every change since the snapshot counts as the migration's%s",
        checkpoint.id,
        f", but for {told}, of which the migration's own checkpoint tells" if told else "",
    )
    return checkpoint.id


def exact_checkpoint(task: RollbackOperator, store: Store, snapshot_id: str, context: Any) -> Checkpoint | None:
    """The newest checkpoint that tells the migration's writes from others', if the migration has ended as it should.

    It was sealed inside the migration's transaction; that of a tracked migration is made now, unless it is there.
    """
    if was_tracked(store, snapshot_id):
        checkpoint = end_tracking(
            store, snapshot_id, airflow_connections, task.progress, actor=task_actor(context), watch=task.watch
        )
        task.log.info("Checkpoint %s is sealed; it tells what sessions with the migration's mark wrote", checkpoint.id)
        return checkpoint
    for checkpoint in reversed(Repository(store).checkpoints(snapshot_id)):
        if checkpoint.attribution in {Attribution.TRANSACTION, Attribution.TRIGGERS}:
            return checkpoint
        if checkpoint.attribution is Attribution.UNKNOWN:
            return None
    return None
