"""Verifies a migration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from rollback_provider.core.verdict import is_good, refusal
from rollback_provider.core.verification import CheckStatus
from rollback_provider.core.verifier import verify_migration
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.hooks.identity import task_actor
from rollback_provider.operators.base import RollbackOperator


class RollbackCheckOperator(RollbackOperator):
    """Runs the checks that were declared with the snapshot; XCom gets the id of the result. Fails the task unless the migration is good.

    What was measured as wrong is not measured again by a retry; what could not be measured is.

    :param snapshot_id: the snapshot taken before the migration
    :param store: id of a ``rollback_store`` connection, or a URL
    """

    template_fields: Sequence[str] = (*RollbackOperator.template_fields, "snapshot_id")

    def __init__(self, *, snapshot_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.snapshot_id = snapshot_id

    def run_in(self, context: Any) -> str:
        """Verifies; returns the id of the result."""
        from rollback_provider.operators.text import checks_text

        made = verify_migration(self.open_store(), self.snapshot_id, airflow_connections, actor=task_actor(context))
        for line in checks_text(made.verification):
            self.log.info("%s", line)
        if is_good(made.verification):
            return made.id
        error = refusal(
            f"The migration after snapshot {self.snapshot_id}",
            made.verification,
            state="The systems are as the migration left them",
            next_step="Read the checks in this log; a rollback goes back to the snapshot",
        )
        if made.verification.status is CheckStatus.FAILED:
            raise AirflowFailException(str(error)) from error
        raise error
