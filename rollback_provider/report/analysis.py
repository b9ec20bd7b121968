"""What a rollback teaches: what triggered it, what it touched, when, how long, and what to change before the next try."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rollback_provider.core.cause import Cause, Signal
from rollback_provider.core.document import Record, Rehearsed
from rollback_provider.core.model import Action, Attribution
from rollback_provider.core.verification import Check, CheckStatus
from rollback_provider.core.words import plural
from rollback_provider.report import facts
from rollback_provider.report.words import duration, moment, number, shorten

TOLERANCE = 0.3
"""How far a step may be from its estimate before that is worth a line."""
_NOTABLE = 1.0
"""Seconds; a lock, or a difference from an estimate, below this is nothing to act on."""
_SHOWN = 8
"""Readings of a signal that are shown, the last ones; and names of tables."""
_NAMED = 3
"""Differences of a check that are named; the checks of the report name all."""
_TO_DECIDE = (Action.CONFLICT_KEPT, Action.CONFLICT_RESTORED, Action.DISCARDED, Action.AMBIGUOUS)


@dataclass(frozen=True)
class Part:
    """A part of the analysis: sentences, and perhaps a table. Plain text; whoever renders it escapes it."""

    title: str
    lines: tuple[str, ...] = ()
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def analysis(record: Record) -> list[Part]:
    """The parts that have something to say; none before the rollback has begun."""
    if not record.execution.attempts:
        return []
    parts = (triggered(record.cause), _affected(record), _timeline(record), _estimates(record), _open(record))
    return [part for part in (*parts, next_try(record)) if part.lines or part.rows]


def triggered(cause: Cause | None) -> Part:
    """What was said of why it was begun, and what was watched."""
    if cause is None:
        return Part("What triggered it", ("Nobody has said why.",))
    lines = (f"{cause.what.rstrip('.')}. ({cause.source}, {moment(cause.time)})",)
    rows = tuple((signal.name, signal.limits, _values(signal), signal.statement) for signal in cause.signals)
    return Part("What triggered it", lines, ("Watched", "Demanded", "Measured, the last at the end", "By"), rows)


def _values(signal: Signal) -> str:
    return ", ".join("unknown" if each.value is None else f"{each.value:g}" for each in signal.readings[-_SHOWN:])


def _affected(record: Record) -> Part:
    ledger = facts.whole_ledger(record)
    cause, run = record.cause, record.execution
    lock = facts.longest_lock(run.steps)
    lines = [
        facts.ledger_sentence(ledger).rstrip("."),
        *([f"Compared: {_some(sorted(ledger.examined))}"] if ledger.examined else []),
        *(f"{step.title}: {step.detail}" for step in run.steps if step.changed and step.detail),
        *(f"{signal.name}: {_values(signal)}" for signal in (cause.impact if cause else ())),
    ]
    if run.finished:
        lines.append(
            f"Time between the snapshot and the end of the rollback: {duration(run.finished - record.snapshot.created)}"
        )
        if cause:
            lines.append(f"Time between the trigger and the end of the rollback: {duration(run.finished - cause.time)}")
    if lock:
        lines.append(f"Longest lock against applications: {duration(lock[1])} on {lock[0]}")
    return Part("What was affected", tuple(lines))


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {number(more)} more" if more > 0 else "")


def _timeline(record: Record) -> Part:
    run = record.execution
    events = sorted(
        (when, what)
        for when, what in (
            (record.snapshot.created, "Snapshot taken"),
            *_first_breaches(record.cause),
            (record.cause.time if record.cause else None, "Rollback triggered"),
            (record.timestamp, "Rollback planned"),
            (run.started, "Execution began"),
            (run.finished, "Execution finished"),
            (run.verification.finished, f"Verification: {run.verification.status}"),
        )
        if when
    )
    return Part("Timeline", (), ("When", "What"), tuple((moment(when), what) for when, what in events))


def _first_breaches(cause: Cause | None) -> Iterator[tuple[datetime, str]]:
    """When each signal that speaks against the migration was first seen to do so, without a pause until the end."""
    for signal in cause.signals if cause else ():
        if signal.bad and signal.streak:
            yield signal.readings[-min(signal.streak, len(signal.readings))].time, f"{signal.name} leaves its limits"


def _estimates(record: Record) -> Part:
    found = [(step, facts.step_seconds(step), step.estimate) for step in record.execution.steps]
    known = [(step.title, real, expected) for step, real, expected in found if real is not None and expected]
    rows = [(title, duration(expected), duration(real), _off(real, expected)) for title, real, expected in known]
    if len(rows) > 1:
        real, expected = sum(each[1] for each in known), sum(each[2] for each in known)
        rows.append(("Together", duration(expected), duration(real), _off(real, expected)))
    lines = (_as_rehearsed(record.rehearsed),) if record.rehearsed else ()
    return Part("Estimate against real", lines, ("Step", "Expected", "Took", "Off by") if rows else (), tuple(rows))


def _as_rehearsed(said: Rehearsed) -> str:
    between = (
        "" if said.low is None or said.high is None else f", between {duration(said.low)} and {duration(said.high)}"
    )
    text = f"Planning and execution were rehearsed on {plural(said.rows, 'row')} to take {duration(said.expected)}{between}"
    if said.took is None:
        return f"{text}; it is not finished"
    return f"{text}; they took {duration(said.took)}: off by {_off(said.took, said.expected)} (certificate {said.certificate_id})"


def _off(real: float, expected: float) -> str:
    return f"{100 * (real - expected) / expected:+.0f} %" if expected else duration(real)


def _open(record: Record) -> Part:
    groups = [group for group in facts.ledger_groups(facts.whole_ledger(record)) if group.action in _TO_DECIDE]
    rows = tuple((f"{group.component} {group.scope}", number(group.count), group.meaning) for group in groups)
    return Part("Left to decide", (), ("Where", "Entries", "What became of them"), rows)


def next_try(record: Record) -> Part:
    """What to change: what was out of its limits, each check that did not pass, with what it asked and found, steps and locks."""
    return Part("Before the next try", tuple(dict.fromkeys(_advice(record))))


def _advice(record: Record) -> Iterable[str]:
    run = record.execution
    for signal in record.cause.signals if record.cause else ():
        if signal.bad:
            last = signal.readings[-1] if signal.readings else None
            found = "unknown" if last is None or last.value is None else f"{last.value:g}"
            reason = f" ({last.unknown})" if last and last.unknown else ""
            yield f"{signal.name} was {found}{reason}, and has to be {signal.limits}: {signal.statement}"
    migrated = record.migration_verification
    yield from _not_passed("After the migration", migrated.checks if migrated else ())
    yield from _not_passed("After the rollback", run.verification.checks)
    for step in run.steps:
        if step.error:
            yield f"Step {step.id}, {step.title}: {step.error}"
        seconds = facts.step_seconds(step)
        if seconds and step.estimate and _is_off(seconds, step.estimate):
            yield f"Step {step.id} was expected to take {duration(step.estimate)} and took {duration(seconds)}: rehearse again"
    said = record.rehearsed
    if said and said.took is not None and _is_off(said.took, said.expected):
        yield (
            f"The rollback was rehearsed to take {duration(said.expected)} and took {duration(said.took)}: rehearse on larger"
            " copies, with a load like the real one"
        )
    if record.attribution is Attribution.UNKNOWN:
        yield "Nothing said which writes were the migration's: let the migrate task seal its checkpoint in its own transaction"
    lock = facts.longest_lock(run.steps)
    if lock and lock[1] >= _NOTABLE:
        yield f"Applications waited up to {duration(lock[1])} for {lock[0]}: migrate it in smaller steps"


def _not_passed(when: str, checks: Iterable[Check]) -> Iterator[str]:
    """Each check that did not pass: what it asked, and what was found in the place of what, object by object."""
    for check in facts.sorted_checks(checks):
        if check.status is CheckStatus.PASSED:
            continue
        where = " ".join(filter(None, (check.component, check.scope)))
        found = [check.status.value, check.detail]
        if check.expected != check.actual:
            found.append(f"expected {shorten(check.expected)}, found {shorten(check.actual) or 'nothing'}")
        line = f"{when}, check {check.name} of {where}: {', '.join(filter(None, found))}"
        if check.differences:
            more = len(check.differences) - _NAMED
            line += f": {'; '.join(check.differences[:_NAMED])}" + (f" and {number(more)} more" if more > 0 else "")
        yield line + (f". It asks: {' '.join(check.statement.split())}" if check.statement else "")


def _is_off(real: float, expected: float) -> bool:
    return abs(real - expected) > max(TOLERANCE * expected, _NOTABLE)
