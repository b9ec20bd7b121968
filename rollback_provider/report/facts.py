"""What is true of a rollback, in the words that every report shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic.alias_generators import to_snake

from rollback_provider.core.document import Record, StepRecord
from rollback_provider.core.ledger import merge_ledgers
from rollback_provider.core.model import Action, Attribution, Ledger, LedgerEntry, Plan, Policy
from rollback_provider.core.verification import Area, Check, CheckStatus, Tally, Verification
from rollback_provider.core.words import plural
from rollback_provider.report.words import duration, number


class Level(StrEnum):
    """How a reader should take a fact.

    ``good`` needs nothing, ``attention`` needs a look, ``bad`` needs somebody to act, and ``open`` is not decided yet.
    """

    GOOD = "good"
    ATTENTION = "attention"
    BAD = "bad"
    OPEN = "open"


@dataclass(frozen=True)
class Outcome:
    """How a rollback stands: two or three words, and the truth in one sentence."""

    level: Level
    title: str
    sentence: str


ACTIONS: dict[Action, str] = {
    Action.DISCARDED: "Discarded: has no place in the snapshot's schema; its values stay in the ledger",
    Action.AMBIGUOUS: "Taken back: changed since the snapshot, and nothing says by whom",
    Action.CONFLICT_RESTORED: "Conflict: changed by the migration, then by an application; goes back to the snapshot",
    Action.CONFLICT_KEPT: "Conflict: changed by the migration, then by an application, whose value stays",
    Action.MERGED: "Merged: the application's columns stay, the migration's go back",
    Action.KEPT: "Kept: written by an application alone",
}
"""What becomes of an entry; those that lose a value come first."""

LOSING = (Action.DISCARDED, Action.AMBIGUOUS, Action.CONFLICT_RESTORED)
"""Actions after which a value that somebody wrote is in the ledger alone."""

ATTRIBUTIONS: dict[Attribution, str] = {
    Attribution.TRANSACTION: "The checkpoint was taken in the migration's transaction: its writes are known exactly.",
    Attribution.QUIET: "The caller vouched that only the migration wrote between snapshot and checkpoint.",
    Attribution.JOURNAL: "The journal of the rollback that is undone holds each value it replaced: its writes are known exactly.",
    Attribution.TRIGGERS: (
        "Triggers logged what sessions with the migration's mark wrote: these writes are known exactly, but for tables that the notes name."
    ),
    Attribution.TRACKING: "The migration is being tracked, and its log has not been read: nothing is known yet.",
    Attribution.UNKNOWN: "There is no checkpoint: each change may be the migration's or an application's.",
}

CONFLICTS: dict[str, str] = {
    "keep": "conflicts keep the application's value",
    "restore": "conflicts go back to the snapshot's value",
    "fail": "conflicts stop the rollback before anything is changed",
}
AMBIGUOUS: dict[str, str] = {
    "restore": "changes that nothing attributes are taken back and listed",
    "keep": "changes that nothing attributes are kept",
    "fail": "changes that nothing attributes stop the rollback before anything is changed",
}


@dataclass(frozen=True)
class PlannedStep:
    """A step as a reader of the plan sees it, whether it has run or not."""

    id: str
    component: str
    title: str
    locks: str
    estimate: float | None


def planned_steps(source: Plan | Record) -> list[PlannedStep]:
    """The steps of a plan, in rollback order."""
    steps = source.steps if isinstance(source, Plan) else source.execution.steps
    return [PlannedStep(step.id, step.component, step.title, step.locks, step.estimate) for step in steps]


def plan_notes(source: Plan | Record) -> list[str]:
    """Accepted differences and side effects, each with its component."""
    if isinstance(source, Record):
        return list(source.notes)
    return [f"{part.component}: {note}" for part in source.components for note in part.notes]


def whole_ledger(source: Plan | Record) -> Ledger:
    """What the plan listed, together with what was found while executing."""
    if isinstance(source, Plan):
        return source.ledger
    return merge_ledgers([source.ledger, source.execution.ledger])


@dataclass(frozen=True)
class LedgerGroup:
    """The entries of one action in one scope: how many, and the first of them."""

    component: str
    scope: str
    action: Action
    count: int
    sample: tuple[LedgerEntry, ...]

    @property
    def meaning(self) -> str:
        """What becomes of these entries."""
        return ACTIONS[self.action]

    @property
    def losing(self) -> bool:
        """Whether a value that somebody wrote leaves the system."""
        return self.action in LOSING


def ledger_groups(ledger: Ledger) -> list[LedgerGroup]:
    """The ledger by scope and action; what loses a value comes first."""
    order = list(ACTIONS)
    groups = [
        LedgerGroup(
            count.component,
            count.scope,
            count.action,
            count.count,
            tuple(
                entry
                for entry in ledger.sample
                if (entry.component, entry.scope, entry.action) == (count.component, count.scope, count.action)
            ),
        )
        for count in ledger.counts
    ]
    return sorted(groups, key=lambda group: (order.index(group.action), group.component, group.scope))


def ledger_sentence(ledger: Ledger) -> str:
    """What the ledger says, in one or two sentences."""
    compared = sum(ledger.examined.values())
    looked = f"{plural(compared, 'row')} compared" if compared else "No rows had to be compared"
    if not ledger.total():
        return f"Nothing is discarded, merged or in conflict. {looked}."
    lost = ledger.total(*LOSING)
    if not lost:
        loss = "no written value leaves the system"
    elif lost == 1:
        loss = "1 written row or value leaves the system and stays in the ledger alone"
    else:
        loss = f"{number(lost)} written rows or values leave the system and stay in the ledger alone"
    return f"{plural(ledger.total(), 'entry', 'entries')}; {loss}. {looked}."


def policy_sentence(policy: Policy) -> str:
    """What the policy decides."""
    sentence = f"{CONFLICTS[policy.conflicts]}; {AMBIGUOUS[policy.ambiguous]}".capitalize() + "."
    return f"{sentence} Only a part is rolled back: {chosen(policy)}." if policy.partial else sentence


def chosen(policy: Policy) -> str:
    """What a rollback of a part is of, in words."""
    rows = [f"the rows of {scope} with {predicate}" for scope, predicate in policy.rows.items()]
    what = ", ".join([*policy.only, *rows]) or "everything"
    return what if policy.part == "all" else f"the {policy.part} of {what}"


def step_seconds(step: StepRecord) -> float | None:
    """How long a step took, from its first attempt to its end; none where it has not ended."""
    return (step.finished - step.started).total_seconds() if step.started and step.finished else None


def longest_lock(steps: Iterable[StepRecord]) -> tuple[str, float] | None:
    """What was locked longest against applications, and for how many seconds."""
    locks = [(what, seconds) for step in steps for what, seconds in step.lock_seconds.items()]
    return max(locks, key=lambda lock: lock[1], default=None)


def sorted_checks(checks: Iterable[Check]) -> list[Check]:
    """Checks with those that need a look first, otherwise in the order they were made."""
    order = (CheckStatus.FAILED, CheckStatus.UNKNOWN, CheckStatus.WARNING, CheckStatus.PASSED)
    return sorted(checks, key=lambda check: order.index(check.status))


AREAS: dict[Area, str] = {
    Area.STRUCTURE: "Structure",
    Area.ROW_COUNTS: "Row counts",
    Area.CHECKSUMS: "Checksums",
    Area.SAMPLES: "Samples",
    Area.REFERENTIAL_INTEGRITY: "Referential integrity",
    Area.BUSINESS_RULES: "Business rules",
    Area.FUNCTION: "Function",
    Area.PERFORMANCE: "Performance",
    Area.STATE: "Other state",
}


def areas(verification: Verification) -> list[tuple[str, Tally]]:
    """What was found in each area, by name."""
    found = [(name, getattr(verification, to_snake(area))) for area, name in AREAS.items()]
    return [(name, tally) for name, tally in found if tally is not None]


def tally_text(tally: Tally) -> str:
    """How many checks there are of each status: ``1 failed, 3 passed``."""
    counts = {status: getattr(tally, status.value) for status in CheckStatus}
    order = (CheckStatus.FAILED, CheckStatus.UNKNOWN, CheckStatus.WARNING, CheckStatus.PASSED)
    return ", ".join(f"{number(counts[status])} {status.value}" for status in order if counts[status])


def score_sentence(verification: Verification) -> str:
    """What all checks add up to."""
    if verification.score is None:
        return "No check was made, so nothing is known."
    return f"Score {verification.score:g} of 100. {verification.summary}."


def outcome(record: Record) -> Outcome:
    """How a rollback stands. Never better than what was measured."""
    if record.abandoned:
        sentence = f"A person gave this rollback up with {_progress(record)}; the systems stay as they were left."
        return Outcome(Level.BAD, "Given up", sentence)
    if record.undone_by:
        return Outcome(Level.ATTENTION, "Undone", f"Rollback {record.undone_by} has undone this one.")
    if record.execution.status == "verified":
        return _verified(record)
    if record.execution.status == "executed":
        return _executed(record)
    return _unfinished(record)


def _progress(record: Record) -> str:
    steps = record.execution.steps
    return f"{sum(step.status == 'done' for step in steps)} of {plural(len(steps), 'step')} done"


def _unfinished(record: Record) -> Outcome:
    run = record.execution
    if run.error:
        failed = next((step.title for step in run.steps if step.status == "failed"), "a step")
        return Outcome(
            Level.BAD,
            "Rollback failed",
            f"Stopped at “{failed}” with {_progress(record)}; executing the same rollback again continues there.",
        )
    if run.attempts:
        return Outcome(
            Level.OPEN,
            "Not finished",
            f"Begun, {_progress(record)}; its worker is still at it, or has died and executing again continues there.",
        )
    if not run.steps:
        sentence = "Nothing differs from the snapshot, so the plan has no steps; nothing was executed."
        return Outcome(Level.OPEN, "Planned", sentence)
    return Outcome(Level.OPEN, "Planned", f"A plan of {plural(len(run.steps), 'step')}; nothing has been changed yet.")


def _verified(record: Record) -> Outcome:
    run = record.execution
    warnings = _count(run.verification.checks, CheckStatus.WARNING)
    checks = plural(len(run.verification.checks), "check")
    if run.steps:
        steps = plural(len(run.steps), "step")
        what = f"{steps} done in {duration(run.duration)}; {checks} found what the plan promised"
    else:
        what = f"Nothing differed from the snapshot, so nothing was taken back; {checks} found it so"
    if record.policy.partial:
        return Outcome(
            Level.ATTENTION,
            "A part rolled back and verified",
            f"{what}. Only a part: {chosen(record.policy)}; all else is as the migration left it.",
        )
    if warnings:
        return Outcome(
            Level.ATTENTION,
            "Rolled back, with warnings" if run.steps else "Nothing to roll back, with warnings",
            f"{what}, with {plural(warnings, 'warning')} to read.",
        )
    return Outcome(Level.GOOD, "Rolled back and verified" if run.steps else "Nothing to roll back", f"{what}.")


def _executed(record: Record) -> Outcome:
    checks = record.execution.verification.checks
    failed, unknown = _count(checks, CheckStatus.FAILED), _count(checks, CheckStatus.UNKNOWN)
    done = f"Every step is done in {duration(record.execution.duration)}"
    if failed:
        return Outcome(
            Level.BAD,
            "Executed, but not back",
            f"{done}, but {plural(failed, 'check')} of {len(checks)} found differences from what was promised.",
        )
    if unknown:
        return Outcome(
            Level.ATTENTION,
            "Executed, not proven",
            f"{done}, but {plural(unknown, 'check')} of {len(checks)} could not be measured.",
        )
    sentence = f"{done}; whether the state is what the plan promised is not measured yet."
    return Outcome(Level.OPEN, "Executed, not verified", sentence)


def _count(checks: Sequence[Check], status: CheckStatus) -> int:
    return sum(check.status == status for check in checks)
