"""Takes the checkpoint after a migration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rollback_provider.core.capturer import take_checkpoint
from rollback_provider.core.model import Attribution, Checkpoint
from rollback_provider.core.repository import Repository, Store
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.hooks.identity import task_actor
from rollback_provider.operators.base import RollbackOperator


class RollbackCheckpointOperator(RollbackOperator):
    """Seals what the migration changed since the snapshot; XCom gets the checkpoint's id.

    Where the migrate task has sealed a checkpoint inside its own transaction, that one is kept: it is exact. Otherwise all that
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
        store = self.open_store()
        return self.keep_exact(store) or take_quiet_checkpoint(self, store, self.snapshot_id, context)

    def keep_exact(self, store: Store) -> str | None:
        """Id of the checkpoint that the migrate task has sealed inside its transaction, if it has."""
        checkpoint = exact_checkpoint(store, self.snapshot_id)
        if checkpoint is None:
            return None
        self.log.info(
            "Checkpoint %s was sealed inside the migration's transaction; it is exact and is kept", checkpoint.id
        )
        return checkpoint.id


def take_quiet_checkpoint(task: RollbackOperator, store: Store, snapshot_id: str, context: Any) -> str:
    """Takes a checkpoint that counts every change since the snapshot as the migration's; returns its id."""
    checkpoint = take_checkpoint(
        store, snapshot_id, airflow_connections, task.progress, actor=task_actor(context), watch=task.watch
    )
    task.log.info("Checkpoint %s is sealed; every change since the snapshot counts as the migration's", checkpoint.id)
    return checkpoint.id


def exact_checkpoint(store: Store, snapshot_id: str) -> Checkpoint | None:
    """The newest checkpoint of this snapshot, if it was sealed inside the migration's transaction."""
    newest = next(reversed(Repository(store).checkpoints(snapshot_id)), None)
    return newest if newest and newest.attribution is Attribution.TRANSACTION else None
