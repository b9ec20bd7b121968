"""Executes a rollback, as a whole or component by component."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rollback_provider.core.executor import begin, execute
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.hooks.identity import task_actor
from rollback_provider.operators.base import RollbackOperator


class RollbackExecuteOperator(RollbackOperator):
    """Runs what is left of a rollback's plan; XCom gets the rollback's id.

    Killed or failed at any point, the next try continues where this one stopped. A plan that no longer fits the system is refused.

    :param rollback_id: the rollback, as generated
    :param approved_by: who approved the plan, for the journal
    :param component: of this component alone, after :class:`RollbackBeginOperator`; other tasks execute the others, at the same time where
        they can, and each can be retried by itself. Everything where not given
    :param store: id of a ``rollback_store`` connection, or a URL
    """

    template_fields: Sequence[str] = (*RollbackOperator.template_fields, "rollback_id", "approved_by", "component")

    def __init__(
        self, *, rollback_id: str, approved_by: str | None = None, component: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rollback_id = rollback_id
        self.approved_by = approved_by
        self.component = component

    def run_in(self, context: Any) -> str:
        """Executes; returns the rollback's id."""
        from rollback_provider.operators.text import execution_text

        approval = f", approved by {self.approved_by}" if self.approved_by else ""
        record = execute(
            self.open_store(),
            self.rollback_id,
            airflow_connections,
            self.progress,
            actor=task_actor(context) + approval,
            component=self.component,
            watch=self.watch,
        )
        for line in execution_text(record):
            self.log.info("%s", line)
        return record.rollback_id


class RollbackBeginOperator(RollbackOperator):
    """Begins a rollback whose components are executed by tasks of their own; XCom gets the rollback's id.

    Takes all components, refuses a plan that no longer fits one of them, and keeps what undoing takes. Nothing is changed yet.

    :param rollback_id: the rollback, as generated
    :param store: id of a ``rollback_store`` connection, or a URL
    """

    template_fields: Sequence[str] = (*RollbackOperator.template_fields, "rollback_id")

    def __init__(self, *, rollback_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rollback_id = rollback_id

    def run_in(self, context: Any) -> str:
        """Begins; returns the rollback's id."""
        return begin(
            self.open_store(),
            self.rollback_id,
            airflow_connections,
            self.progress,
            actor=task_actor(context),
            watch=self.watch,
        ).rollback_id
