"""The timeline of a rollback as geometry: bars, ticks and their places. Drawing it is left to the template."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from rollback_provider.core.document import Record, StepRecord
from rollback_provider.core.verification import CheckStatus
from rollback_provider.core.words import plural
from rollback_provider.report.facts import step_seconds
from rollback_provider.report.words import short_duration

WIDTH = 1000.0
LABEL = 330.0
"""Width of the column of step titles."""
ROOM = 150.0
"""Room to the right of the axis for what is written beside a bar that ends there."""
ROW = 34.0
TOP = 30.0
SMALLEST = 3.0
"""A bar is at least this wide, so that a step of a millisecond is seen."""


@dataclass(frozen=True)
class Bar:
    """One line of the timeline. All numbers are units of the picture.

    :param kind: a step's status, or ``expected`` where nothing has run; ``check-passed`` and so on for the checks
    :param lock: width of the part of the bar in which something was locked; zero where nothing was
    :param after: where `remark` begins
    """

    kind: str
    label: str
    title: str
    remark: str
    y: float
    x: float
    width: float
    lock: float

    @property
    def after(self) -> float:
        """Where the remark begins."""
        return self.x + self.width + 8


@dataclass(frozen=True)
class Timeline:
    """The picture: bars from top to bottom, and ticks as (place, text)."""

    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    height: float
    expected: bool
    width: float = WIDTH
    label: float = LABEL
    top: float = TOP


def timeline(record: Record) -> Timeline:
    """Lays out every step and the checks.

    Where nothing has run, the steps stand one after another, as long as they are expected to take.
    """
    run = record.execution
    spans = _spans(record) if run.started else _expected(record)
    total = max((end for _, end in spans), default=0.0)
    check_end = 0.0
    if run.verification.finished and run.started:
        check_end = (run.verification.finished - run.started).total_seconds()
        total = max(total, check_end)
    scale = (WIDTH - LABEL - ROOM) / (total or 1.0)
    bars = [
        _bar(step, index, span, scale, expected=run.started is None)
        for index, (step, span) in enumerate(zip(run.steps, spans, strict=True))
    ]
    if check_end:
        begin = (run.finished - run.started).total_seconds() if run.finished and run.started else 0.0
        bars.append(_checks(record, len(bars), (begin, check_end), scale))
    return Timeline(
        bars=tuple(bars),
        ticks=tuple((LABEL + seconds * scale, short_duration(seconds)) for seconds in _ticks(total)),
        height=TOP + ROW * len(bars) + 6,
        expected=run.started is None,
    )


def _spans(record: Record) -> list[tuple[float, float]]:
    """Begin and end of each step in seconds since the execution began; one not ended goes to the last sign of life."""
    run = record.execution
    origin = run.started or record.timestamp
    moments = [moment for step in run.steps for moment in (step.started, step.finished) if moment]
    last = max([*moments, run.finished or origin])

    def at(moment: datetime | None) -> float:
        return ((moment or last) - origin).total_seconds()

    return [(at(step.started), at(step.finished)) for step in run.steps]


def _expected(record: Record) -> list[tuple[float, float]]:
    spans = []
    begin = 0.0
    for step in record.execution.steps:
        end = begin + (step.estimate or 0.0)
        spans.append((begin, end))
        begin = end
    return spans


def _bar(step: StepRecord, index: int, span: tuple[float, float], scale: float, *, expected: bool) -> Bar:
    begin, end = span
    width = max((end - begin) * scale, SMALLEST)
    held = max(step.lock_seconds.values(), default=None)
    return Bar(
        kind="expected" if expected else step.status,
        label=_clip(step.title),
        title="\n".join(filter(None, (f"{step.component}: {step.title}", step.detail, step.error))),
        remark=_remark(step, expected=expected),
        y=TOP + ROW * index,
        x=LABEL + begin * scale,
        width=width,
        lock=0.0 if held is None else min(max(held * scale, SMALLEST), width),
    )


def _remark(step: StepRecord, *, expected: bool) -> str:
    if expected:
        return f"expected {short_duration(step.estimate)}" if step.estimate is not None else "planned"
    parts = [{"failed": "failed", "running": "not finished", "pending": "not begun"}.get(step.status, "")]
    seconds = step_seconds(step)
    if seconds is not None:
        parts.append(short_duration(seconds))
    if step.attempts > 1:
        parts.append(plural(step.attempts, "attempt"))
    return ", ".join(filter(None, parts))


def _checks(record: Record, index: int, span: tuple[float, float], scale: float) -> Bar:
    checks = record.execution.verification.checks
    passed = sum(check.status is CheckStatus.PASSED for check in checks)
    begin, end = span
    return Bar(
        kind=f"check-{record.execution.verification.status}",
        label="Verification",
        title=f"{passed} of {plural(len(checks), 'check')} passed",
        remark=f"{passed} of {plural(len(checks), 'check')} passed",
        y=TOP + ROW * index,
        x=LABEL + begin * scale,
        width=max((end - begin) * scale, SMALLEST),
        lock=0.0,
    )


def _ticks(total: float) -> list[float]:
    """Round places on the axis, four to eight of them."""
    if not total:
        return [0.0]
    step = next(step for step in _round_steps() if total / step <= 8)
    return [step * index for index in range(int(total / step) + 1)]


def _round_steps() -> Iterator[float]:
    for power in range(-4, 1):
        yield from (base * 10.0**power for base in (1, 2, 5))
    yield from (10, 15, 30, *(minutes * 60.0 for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 240, 720)))
    yield from (86400.0 * 2**doubling for doubling in count())


def _clip(title: str, limit: int = 42) -> str:
    return title if len(title) <= limit else f"{title[: limit - 1].rstrip()}…"
