"""Decides whether a migration begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow.providers.standard.operators.hitl import ApprovalOperator

from rollback_provider.core.decision import Decision, speaks_for
from rollback_provider.core.model import utcnow
from rollback_provider.core.repository import Repository, make_id
from rollback_provider.core.verification import Check
from rollback_provider.criteria import Evidence, evaluate, parse_criteria
from rollback_provider.criteria.criterion import PERSON
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.hooks.identity import task_actor
from rollback_provider.hooks.rollback_store import DEFAULT_STORE, RollbackStoreHook
from rollback_provider.operators.approval import person_name
from rollback_provider.operators.base import final_errors

CRITERIA = "the criteria"
"""Who decides where no person does."""


class RollbackGoNoGoOperator(ApprovalOperator):
    """Evaluates criteria, and fails unless all are met; with the criterion ``person`` a person then has the last word.

    Each evaluation is kept in the store beside the snapshot, with every criterion, what was demanded and found, and who decided. A
    criterion without an answer is not met. A task with ``retries`` evaluates again; a person's no is final. XCom gets the id of the
    decision, and under the key ``decided_by`` who decided.

    :param snapshot_id: the snapshot taken before the migration
    :param criteria: ``[{"kind": "snapshot", "max_age": "PT30M"}, {"kind": "quiet"}, {"kind": "person"}]``
    :param store: id of a ``rollback_store`` connection, or a URL

    Other parameters are those of :class:`~airflow.providers.standard.operators.hitl.ApprovalOperator`, such as ``response_timeout``.

    Raises ConfigurationError when the DAG is parsed, for criteria that are malformed.
    """

    template_fields: Sequence[str] = (*ApprovalOperator.template_fields, "snapshot_id", "criteria", "store")
    ui_color: str = "#e8eef7"

    def __init__(
        self, *, snapshot_id: str, criteria: Sequence[Mapping[str, Any]], store: str = DEFAULT_STORE, **kwargs: Any
    ) -> None:
        asked = [each for each in parse_criteria(criteria) if each.kind == PERSON]
        if asked:
            kwargs.setdefault("assigned_users", asked[0].options["users"])
        super().__init__(subject="Begin the migration?", **kwargs)
        self.snapshot_id = snapshot_id
        self.criteria = criteria
        self.store = store

    def execute(self, context: Any) -> Any:
        """Evaluates, and asks a person where one is wanted."""
        checks = self._evaluate()
        if not all(map(speaks_for, checks)):
            self._refuse(context, checks)
        if not any(each.kind == PERSON for each in parse_criteria(self.criteria)):
            return self._keep(context, checks, go=True, by=CRITERIA)
        self.body = _to_decide(checks)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Takes the answer, and evaluates again: what was true when the question was asked may not be any more."""
        answered = "error" not in event
        if answered and event["chosen_options"] == [self.APPROVE]:
            checks = self._evaluate()
            if not all(map(speaks_for, checks)):
                self._refuse(context, checks)
            return self._keep(context, checks, go=True, by=person_name(event.get("responded_by_user")))
        by = person_name(event.get("responded_by_user")) if answered else "nobody, in the time given"
        self._keep(context, self._evaluate(), go=False, by=by)
        raise AirflowFailException(f"No-go, said {by}. The migration was not begun.")

    def _evaluate(self) -> tuple[Check, ...]:
        with final_errors():
            store = RollbackStoreHook(self.store).get_conn()
            snapshot = Repository(store).snapshot(self.snapshot_id)
            checks = evaluate(parse_criteria(self.criteria), Evidence(store, snapshot, airflow_connections))
        for check in checks:
            log = self.log.info if speaks_for(check) else self.log.warning
            log("%s: %s", check.status, _sentence(check))
        return checks

    def _refuse(self, context: Any, checks: Sequence[Check]) -> None:
        self._keep(context, checks, go=False, by=CRITERIA)
        unmet = "; ".join(_sentence(check) for check in checks if not speaks_for(check))
        raise AirflowException(f"No-go: {unmet}. The migration was not begun.")

    def _keep(self, context: Any, checks: Sequence[Check], *, go: bool, by: str) -> str:
        draft = Decision(
            id="",
            snapshot_id=self.snapshot_id,
            created=utcnow(),
            actor=task_actor(context),
            go=go,
            by=by,
            checks=tuple(checks),
        )
        decision = draft.model_copy(update={"id": make_id("decision", draft.created, draft.to_json())})
        Repository(RollbackStoreHook(self.store).get_conn()).save_decision(decision)
        context["ti"].xcom_push(key="decided_by", value=by)
        self.log.info("%s, decided by %s; kept as %s", "Go" if go else "No-go", by, decision.id)
        return decision.id


def _sentence(check: Check) -> str:
    of = f"{check.component} {check.name}".strip()
    found = check.actual or check.detail
    more = f" ({check.detail})" if check.detail and check.actual else ""
    named = f": {'; '.join(check.differences[:3])}" if check.differences else ""
    return f"{of}: {found}{more}" + (f", demanded: {check.expected}" if check.expected else "") + named


def _to_decide(checks: Sequence[Check]) -> str:
    from rollback_provider.report.markdown import escape, table

    rows = [
        (check.status, *map(escape, (f"{check.component} {check.name}".strip(), check.expected, check.actual)))
        for check in checks
    ]
    return table(("", "Criterion", "Demanded", "Found"), rows) if rows else "There are no other criteria."
