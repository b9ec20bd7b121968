"""Asks a person before a rollback changes anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

from rollback_provider.core.executor import abandon
from rollback_provider.core.journal import Journal
from rollback_provider.core.repository import Repository
from rollback_provider.hooks.identity import task_actor
from rollback_provider.hooks.rollback_store import DEFAULT_STORE, RollbackStoreHook
from rollback_provider.operators.base import final_errors


class RollbackApprovalOperator(ApprovalOperator):
    """Shows plan and ledger of a rollback to a person and waits for the answer.

    Approving lets the run go on; XCom key ``approved_by`` holds who it was. Rejecting skips what is downstream and gives the rollback up
    in the store, so that nobody executes it later by mistake; the systems stay as they are. One that had begun before stays begun.

    :param rollback_id: the rollback, as generated
    :param store: id of a ``rollback_store`` connection, or a URL

    Other parameters are those of :class:`~airflow.providers.standard.operators.hitl.ApprovalOperator`, such as ``assigned_users``.
    """

    template_fields: Sequence[str] = (*ApprovalOperator.template_fields, "rollback_id", "store")

    def __init__(self, *, rollback_id: str, store: str = DEFAULT_STORE, **kwargs: Any) -> None:
        super().__init__(subject="Roll back?", **kwargs)
        self.rollback_id = rollback_id
        self.store = store

    def execute(self, context: Any) -> Any:
        """Writes the question from the plan in the store, and waits."""
        from rollback_provider.report.markdown import to_approve

        with final_errors():
            plan = Repository(RollbackStoreHook(self.store).get_conn()).plan(self.rollback_id)
        self.subject = f"Roll back {plan.migration}? {len(plan.steps)} steps, {plan.ledger.total()} ledger entries"
        self.body = to_approve(plan)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Takes the answer."""
        if "error" not in event:
            self._take(context, event)
        return super().execute_complete(context, event)

    def _take(self, context: Any, event: dict[str, Any]) -> None:
        person = person_name(event.get("responded_by_user"))
        if event["chosen_options"] == [self.APPROVE]:
            context["ti"].xcom_push(key="approved_by", value=person)
            self.log.info("Approved by %s", person)
            return
        store = RollbackStoreHook(self.store).get_conn()
        with final_errors():
            if Journal(store, self.rollback_id).started:
                self.log.warning("Rejected by %s: rollback %s stays half done, as it was", person, self.rollback_id)
                return
            abandon(store, self.rollback_id, actor=f"{task_actor(context)}, rejected by {person}")
        self.log.warning("Rejected by %s: nothing was changed, and rollback %s is given up", person, self.rollback_id)


def person_name(user: Any) -> str:
    """Who has answered, as Airflow tells it."""
    if isinstance(user, dict):
        return str(user.get("name") or user.get("id") or "somebody")
    return str(getattr(user, "name", None) or user or "somebody")
