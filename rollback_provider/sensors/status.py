"""Waits for a rollback to get as far as wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseSensorOperator

from rollback_provider.core.errors import ConfigurationError, NotFoundError
from rollback_provider.core.record import load_record
from rollback_provider.core.verification import CheckStatus
from rollback_provider.hooks.rollback_store import DEFAULT_STORE, RollbackStoreHook
from rollback_provider.operators.base import final_errors
from rollback_provider.operators.verify import refuse_unverified


class RollbackStatusSensor(BaseSensorOperator):
    """Waits until a rollback is executed, or verified. Fails at once where it was abandoned, or its verification failed.

    :param rollback_id: the rollback
    :param status: ``executed`` or ``verified``
    :param store: id of a ``rollback_store`` connection, or a URL
    """

    template_fields: Sequence[str] = ("store", "rollback_id", "status")

    def __init__(
        self, *, rollback_id: str, status: str = "verified", store: str = DEFAULT_STORE, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rollback_id = rollback_id
        self.status = status
        self.store = store

    def poke(self, context: Any) -> bool:
        """Looks once."""
        with final_errors():
            return self._look()

    def _look(self) -> bool:
        from rollback_provider.report.facts import outcome

        if self.status not in {"executed", "verified"}:
            raise ConfigurationError(
                f"A rollback cannot be waited for to be {self.status!r}", next_step="Use executed or verified"
            )
        try:
            record = load_record(RollbackStoreHook(self.store).get_conn(), self.rollback_id)
        except NotFoundError as error:
            self.log.info("%s", error.what)
            return False
        self.log.info("%s", outcome(record).sentence)
        if record.abandoned:
            raise ConfigurationError(
                f"Rollback {self.rollback_id} was given up", state="It can never be executed again"
            )
        if self.status == "verified" and record.execution.verification.status is CheckStatus.FAILED:
            refuse_unverified(record)
        return record.execution.status in {"verified", self.status}
