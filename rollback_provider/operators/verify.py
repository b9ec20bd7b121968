"""Verifies a rollback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from rollback_provider.core.document import Record
from rollback_provider.core.verdict import refusal
from rollback_provider.core.verification import CheckStatus
from rollback_provider.core.verifier import verify
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.hooks.identity import task_actor
from rollback_provider.operators.base import RollbackOperator


class RollbackVerifyOperator(RollbackOperator):
    """Measures whether the systems are back; XCom gets the rollback's id. Fails the task where they are not.

    What was measured as wrong is not measured again by a retry; what could not be measured is.

    :param rollback_id: the rollback, as executed
    :param store: id of a ``rollback_store`` connection, or a URL
    """

    template_fields: Sequence[str] = (*RollbackOperator.template_fields, "rollback_id")

    def __init__(self, *, rollback_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rollback_id = rollback_id

    def run_in(self, context: Any) -> str:
        """Verifies; returns the rollback's id."""
        from rollback_provider.operators.text import verification_text

        record = verify(
            self.open_store(),
            self.rollback_id,
            airflow_connections,
            self.progress,
            actor=task_actor(context),
            watch=self.watch,
        )
        for line in verification_text(record):
            self.log.info("%s", line)
        refuse_unverified(record)
        return record.rollback_id


def refuse_unverified(record: Record) -> None:
    """Raises unless every check passed: AirflowFailException where one failed, VerificationError where one has no answer."""
    if record.execution.status == "verified":
        return
    verification = record.execution.verification
    error = refusal(
        f"Rollback {record.rollback_id}",
        verification,
        state="The rollback was executed; the differences are in its record",
        next_step="Read the differences in this log, then generate a new rollback to the same snapshot: it holds only what is left to do",
    )
    if verification.status is CheckStatus.FAILED:
        raise AirflowFailException(str(error)) from error
    raise error
