"""Makes the output document of a rollback from its plan and its journal, and checks it against the JSON Schema."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from rollback_provider.core.base import Json
from rollback_provider.core.document import Execution, Record, Scripts, SnapshotSummary, StepRecord
from rollback_provider.core.event import Event
from rollback_provider.core.journal import Journal
from rollback_provider.core.ledger import merge_ledgers
from rollback_provider.core.model import Ledger, Plan, Step, StepOutcome
from rollback_provider.core.rehearsal.expectation import rehearsed
from rollback_provider.core.repository import Repository, Store
from rollback_provider.core.verdict import is_good
from rollback_provider.core.verification import Verification


def load_record(store: Store, rollback_id: str) -> Record:
    """The output document of a rollback as it stands now. Raises NotFoundError."""
    return make_record(store, Repository(store).plan(rollback_id), Journal(store, rollback_id))


def make_record(store: Store, plan: Plan, journal: Journal) -> Record:
    """The output document, validated."""
    repository = Repository(store)
    snapshot = repository.snapshot(plan.snapshot_id)
    migrated = repository.verifications(plan.snapshot_id)
    execution = _execution(plan, journal)
    record = Record(
        rollback_id=plan.rollback_id,
        timestamp=plan.created,
        migration=plan.migration,
        actor=plan.actor,
        checkpoint_id=plan.checkpoint_id,
        attribution=plan.attribution,
        policy=plan.policy,
        snapshot=SnapshotSummary(
            id=snapshot.id,
            created=snapshot.created,
            components=tuple(
                {"name": state.spec.name, "kind": state.spec.kind, "summary": state.summary}
                for state in snapshot.components
            ),
        ),
        scripts=Scripts(**{section: _script(plan, section) for section in Scripts.model_fields}),
        notes=tuple(f"{part.component}: {note}" for part in plan.components for note in part.notes),
        ledger=plan.ledger,
        abandoned=journal.abandoned,
        through=plan.through,
        undoes=snapshot.undoes,
        undone_by=journal.undone_by,
        cause=plan.cause,
        migration_verification=migrated[-1].verification if migrated else None,
        rehearsed=rehearsed(store, plan, snapshot, execution),
        execution=execution,
    )
    _validator().validate(record.to_json())
    return record


def execution_ledger(journal: Journal) -> Ledger:
    """What was found while executing, beyond what the plan had listed."""
    return merge_ledgers(
        StepOutcome.model_validate(event.data).ledger for event in journal.events if event.kind == "done"
    )


def schema() -> Json:
    """The JSON Schema of the output document."""
    text = files("rollback_provider.core").joinpath("output_document.schema.json").read_text("utf-8")
    document: Json = json.loads(text)
    return document


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator, FormatChecker  # costs 0.2 s, and most imports need no record

    return Draft202012Validator(schema(), format_checker=FormatChecker())


def _script(plan: Plan, section: str) -> str:
    parts = [f"-- {step.id}: {step.title}\n{step.script}" for step in plan.steps if step.section == section]
    return "\n\n".join(parts)


def _execution(plan: Plan, journal: Journal) -> Execution:
    attempts = _attempts(journal.events)
    verified = [event for event in journal.events if event.kind == "verified"]
    verification = Verification.model_validate(verified[-1].data) if verified else Verification()
    return Execution(
        status=_status(journal, verification),
        duration=sum((end - start for start, end in attempts), timedelta()),
        verification=verification,
        steps=tuple(_step(step, journal.events) for step in plan.steps),
        started=attempts[0][0] if attempts else None,
        finished=attempts[-1][1] if journal.executed else None,
        attempts=len(attempts),
        ledger=execution_ledger(journal),
        error=_error(journal.events),
    )


def _status(journal: Journal, verification: Verification) -> Literal["ready", "executed", "verified"]:
    if is_good(verification):
        return "verified"
    return "executed" if journal.executed else "ready"


def _attempts(events: list[Event]) -> list[tuple[datetime, datetime]]:
    """Start and last sign of life of each attempt at executing."""
    attempts: list[tuple[datetime, datetime]] = []
    for event in events:
        if event.kind == "begin":
            attempts.append((event.time, event.time))
        elif attempts and event.kind in {"refused", "intent", "note", "done", "failed", "executed"}:
            attempts[-1] = (attempts[-1][0], event.time)
    return attempts


def _error(events: list[Event]) -> str:
    for event in reversed(events):
        if event.kind in {"begin", "done", "executed", "verified"}:
            return ""
        if event.kind in {"failed", "refused"}:
            return str(event.data.get("error", ""))
    return ""


def _step(step: Step, events: list[Event]) -> StepRecord:
    mine = [event for event in events if event.step == step.id]
    kinds = Counter(event.kind for event in mine)
    last = mine[-1] if mine else None
    outcome = StepOutcome.model_validate(last.data) if last and last.kind == "done" else None
    failed = last is not None and last.kind == "failed"
    status: Literal["pending", "running", "done", "failed"]
    if last is None:
        status = "pending"
    elif outcome:
        status = "done"
    else:
        status = "failed" if failed else "running"
    return StepRecord(
        id=step.id,
        component=step.component,
        title=step.title,
        status=status,
        started=mine[0].time if mine else None,
        finished=last.time if last and (outcome or failed) else None,
        attempts=kinds["intent"],
        changed=outcome.changed if outcome else None,
        detail=outcome.detail if outcome else "",
        error=str(last.data.get("error", "")) if last and failed else "",
        locks=step.locks,
        lock_seconds=outcome.lock_seconds if outcome else {},
        estimate=step.estimate,
    )
