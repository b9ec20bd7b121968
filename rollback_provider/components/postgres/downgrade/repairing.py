"""Completes a downgrade: plans from the state that it has left, and runs that plan as the steps of one step."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from rollback_provider.components.postgres.applying.applier import Applier
from rollback_provider.components.postgres.downgrade.half import Half
from rollback_provider.components.postgres.downgrade.running import downgrade
from rollback_provider.components.postgres.planning.rollback import plan_rollback
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobReader, Notes
from rollback_provider.core.ledger import LedgerWriter, merge_ledgers
from rollback_provider.core.model import ComponentPlan, Ledger, Policy, Step, StepOutcome


def repair(half: Half) -> StepOutcome:
    """Does what is left of the step."""
    plan = planned(half.notes.earlier(), half.blobs) or _plan(half)
    for step in plan.steps:
        if _outcome(half, step) is None:
            half.progress.message(f"{half.component}: {step.title}")
            within = _Within(half.notes, step.id)
            applier = Applier(half.component, half.session, step, half.blobs, within, half.progress, half.cancelled)
            half.note(done=step.id, outcome=applier.run().to_json())
    outcomes = [outcome for step in plan.steps if (outcome := _outcome(half, step))]
    locks = [*chain.from_iterable(outcome.lock_seconds for outcome in outcomes)]
    found = Ledger.model_validate(half.noted["ledger"])
    return StepOutcome(
        changed=any(outcome.changed for outcome in outcomes),
        detail="; ".join(outcome.detail for outcome in outcomes) or "the downgrade has lost nothing",
        lock_seconds={lock: max(outcome.lock_seconds.get(lock, 0.0) for outcome in outcomes) for lock in locks},
        ledger=merge_ledgers([found, *(outcome.ledger for outcome in outcomes)]),
    )


HALVES: Mapping[str, Callable[[Half], StepOutcome]] = {"downgrade": downgrade, "repair": repair}
"""What runs a step, by its mode."""


def planned(notes: Sequence[Json], blobs: BlobReader) -> ComponentPlan | None:
    """The plan that a repair has made."""
    for note in notes:
        if "plan" in note:
            return ComponentPlan.model_validate_json(blobs.get_blob(note["plan"]))
    return None


def notes_within(notes: Sequence[Json]) -> Callable[[str], Sequence[Json]]:
    """Notes of the steps of a repair's plan, from those of the repair."""
    return lambda step: [note["note"] for note in notes if note.get("step") == step]


class _Within:
    """Notes of one of the steps within a step, among all that the step notes."""

    def __init__(self, notes: Notes, step: str) -> None:
        self._notes, self._step = notes, step

    def add(self, data: Json) -> None:
        """Writes a note."""
        self._notes.add({"step": self._step, "note": data})

    def earlier(self) -> Sequence[Json]:
        """What was noted at this step."""
        return self.of(self._step)

    def of(self, step: str) -> Sequence[Json]:
        """What was noted at another step within."""
        return notes_within(self._notes.earlier())(step)


def _plan(half: Half) -> ComponentPlan:
    """Plans from the state that the downgrade has left, and notes the plan."""
    aim, payload, ledger = half.aim, half.step.payload, LedgerWriter(half.blobs)
    noted = {name: value for note in half.notes.of(payload["downgrade"]) for name, value in note.items()}
    before, after = (aim.left.model_copy(update={"payload": noted[name]}) for name in ("before", "after"))
    listed = json.loads(half.blobs.get_blob(payload["listed"]))
    known = frozenset((row["scope"], tuple(row["key"])) for row in listed)
    with half.viewing() as view:
        checkpoint = aim.checkpoint(before, after, ledger, listed=known, owned=half.tool.owns)
        plan = plan_rollback(
            view, aim.snapshot_with(before), checkpoint, Policy.model_validate(payload["policy"]), ledger
        )
    digest = half.blobs.put_blob(plan.model_dump_json().encode()).digest
    half.note(plan=digest, ledger=ledger.seal().to_json())
    return plan


def _outcome(half: Half, step: Step) -> StepOutcome | None:
    for note in half.notes.earlier():
        if note.get("done") == step.id:
            return StepOutcome.model_validate(note["outcome"])
    return None
