"""The one sentence that tells how a rollback stands, for every way it can stand."""

from __future__ import annotations

from typing import Any

import pytest

from rollback_provider.core.document import StepRecord
from rollback_provider.core.model import Action, Ledger, LedgerCount
from rollback_provider.core.verification import Check, CheckStatus, Verification
from rollback_provider.report import facts
from rollback_provider.report.facts import Level
from tests.fix_records import BEGAN, LEDGER, STEPS, RecordMaker, at

PENDING = tuple(StepRecord(id=step.id, component="orders", title=step.title, status="pending") for step in STEPS)
STOPPED = (STEPS[0], STEPS[1].model_copy(update={"status": "failed", "error": "orders: The server is gone."}))
UNMEASURED = Verification()


def verification(*statuses: CheckStatus) -> Verification:
    """Checks with these results; the worst of them is the result."""
    worst = max(statuses, key=[CheckStatus.PASSED, CheckStatus.WARNING, CheckStatus.UNKNOWN, CheckStatus.FAILED].index)
    checks = tuple(Check(component="orders", name=f"check {n}", status=status) for n, status in enumerate(statuses))
    return Verification(status=worst, finished=at(5), checks=checks)


PASSED, FAILED, UNKNOWN, WARNING = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.UNKNOWN, CheckStatus.WARNING
NEVER_RUN: dict[str, Any] = {"status": "ready", "started": None, "finished": None, "attempts": 0}


@pytest.mark.parametrize(
    ("execution", "level", "title", "sentence"),
    [
        (
            {"verification": verification(PASSED, PASSED)},
            Level.GOOD,
            "Rolled back and verified",
            "2 steps done in 3.1 s",
        ),
        ({"verification": verification(PASSED, WARNING)}, Level.ATTENTION, "Rolled back, with warnings", "1 warning"),
        (
            {"verification": verification(PASSED), "steps": ()},
            Level.GOOD,
            "Nothing to roll back",
            "nothing was taken back",
        ),
        (
            {"status": "executed", "verification": verification(FAILED, UNKNOWN, PASSED)},
            Level.BAD,
            "Executed, but not back",
            "1 check of 3 found differences",
        ),
        (
            {"status": "executed", "verification": verification(UNKNOWN, PASSED)},
            Level.ATTENTION,
            "Executed, not proven",
            "1 check of 2 could not be measured",
        ),
        (
            {"status": "executed", "verification": UNMEASURED},
            Level.OPEN,
            "Executed, not verified",
            "is not measured yet",
        ),
        (
            {"status": "ready", "verification": UNMEASURED, "steps": STOPPED, "error": "orders: The server is gone."},
            Level.BAD,
            "Rollback failed",
            "with 1 of 2 steps done; executing the same rollback again continues there",
        ),
        (
            {"status": "ready", "verification": UNMEASURED, "steps": (STEPS[0], PENDING[1]), "finished": None},
            Level.OPEN,
            "Not finished",
            "1 of 2 steps done",
        ),
        (
            NEVER_RUN | {"verification": UNMEASURED, "steps": PENDING},
            Level.OPEN,
            "Planned",
            "nothing has been changed yet",
        ),
        (NEVER_RUN | {"verification": UNMEASURED, "steps": ()}, Level.OPEN, "Planned", "the plan has no steps"),
    ],
)
def test_outcome(execution: dict[str, Any], level: Level, title: str, sentence: str, make_record: RecordMaker) -> None:
    outcome = facts.outcome(make_record(execution=execution))
    assert (outcome.level, outcome.title) == (level, title)
    assert sentence in outcome.sentence


def test_given_up_outweighs_everything(make_record: RecordMaker) -> None:
    outcome = facts.outcome(make_record(abandoned=True, execution={"status": "ready", "steps": STOPPED}))
    assert (outcome.level, outcome.title) == (Level.BAD, "Given up")
    assert "1 of 2 steps done" in outcome.sentence


def test_every_action_has_words() -> None:
    assert set(facts.ACTIONS) == set(Action)


def test_ledger_groups_begin_with_what_is_lost() -> None:
    groups = facts.ledger_groups(LEDGER)
    assert [(group.action, group.count, group.losing, len(group.sample)) for group in groups] == [
        (Action.DISCARDED, 1, True, 1),
        (Action.CONFLICT_KEPT, 3, False, 1),
    ]


@pytest.mark.parametrize(
    ("ledger", "sentence"),
    [
        (Ledger(), "Nothing is discarded, merged or in conflict. No rows had to be compared."),
        (
            Ledger(examined={"orders/a": 1_000_000, "orders/b": 1}),
            "Nothing is discarded, merged or in conflict. 1,000,001 rows compared.",
        ),
        (
            Ledger(
                counts=(LedgerCount(component="orders", scope="a", action=Action.AMBIGUOUS, count=20),),
                examined={"orders/a": 9},
            ),
            "20 entries; 20 written rows or values leave the system and stay in the ledger alone. 9 rows compared.",
        ),
        (
            Ledger(
                counts=(LedgerCount(component="orders", scope="a", action=Action.MERGED, count=1),),
                examined={"orders/a": 7},
            ),
            "1 entry; no written value leaves the system. 7 rows compared.",
        ),
    ],
)
def test_ledger_in_a_sentence(ledger: Ledger, sentence: str) -> None:
    assert facts.ledger_sentence(ledger) == sentence


def test_longest_lock_is_named(make_record: RecordMaker) -> None:
    assert facts.longest_lock(make_record().execution.steps) == ("public.orders", 0.001)
    assert facts.longest_lock(()) is None
    assert at(0) == BEGAN
