"""The analysis of a rollback: its cause, its course, and what to change."""

from __future__ import annotations

from dataclasses import dataclass

from rollback_provider.core.model import Attribution, Cause, Ledger, Reading, Record, Signal
from rollback_provider.report.analysis import Part, analysis
from rollback_provider.report.html import to_html
from rollback_provider.report.markdown import to_markdown
from tests.fix_records import STEPS, RecordMaker, at


@dataclass(frozen=True)
class Value:
    """A measurement, seconds before the rollback began."""

    before: float
    value: float | None
    unknown: str = ""

    @property
    def reading(self) -> Reading:
        """As the record keeps it."""
        return Reading(time=at(-self.before), value=self.value, unknown=self.unknown)


def signal(name: str, *values: Value, streak: int = 0) -> Signal:
    """A watched condition."""
    return Signal(
        name=name,
        limits="at most 5",
        statement=f"sum(rate({name}_total[1m]))",
        bad=bool(streak),
        streak=streak,
        readings=tuple(each.reading for each in values),
    )


CAUSE = Cause(
    what="errors was 9 at the end of 2 measurements in a row",
    source="watch",
    time=at(-20),
    signals=(
        signal("errors", Value(60, 1), Value(45, 8), Value(30, 9), streak=2),
        signal("health", Value(30, None, "no <answer>"), streak=1),
        signal("orders", Value(30, 3)),
    ),
    impact=(Signal(name="requests failed", readings=(Value(20, 1234).reading,)),),
)


def part(record: Record, title: str) -> Part:
    """One part of the analysis."""
    (found,) = [each for each in analysis(record) if each.title == title]
    return found


def test_what_triggered_it(make_record: RecordMaker) -> None:
    found = part(make_record(cause=CAUSE), "What triggered it")
    assert found.lines == ("errors was 9 at the end of 2 measurements in a row. (watch, 2026-11-23 15:10:41 UTC)",)
    assert found.rows == (
        ("errors", "at most 5", "1, 8, 9", "sum(rate(errors_total[1m]))"),
        ("health", "at most 5", "unknown", "sum(rate(health_total[1m]))"),
        ("orders", "at most 5", "3", "sum(rate(orders_total[1m]))"),
    )


def test_who_was_affected_and_when(make_record: RecordMaker) -> None:
    record = make_record(cause=CAUSE)
    affected = part(record, "What was affected").lines
    assert "requests failed: 1234" in affected
    assert "Time between the trigger and the end of the rollback: 23 seconds" in affected
    assert [what for _, what in part(record, "Timeline").rows] == [
        "Snapshot taken",
        "errors leaves its limits",
        "health leaves its limits",
        "Rollback triggered",
        "Rollback planned",
        "Execution began",
        "Execution finished",
        "Verification: warning",
    ]


def test_what_to_change(make_record: RecordMaker) -> None:
    slow = STEPS[1].model_copy(update={"lock_seconds": {"public.orders": 2.5}, "error": "it broke once"})
    record = make_record(
        cause=CAUSE,
        attribution=Attribution.UNKNOWN,
        ledger=Ledger(),
        execution={"steps": (slow,)},
    )
    advice = part(record, "Before the next try").lines
    assert advice[:2] == (
        "errors was 9, and has to be at most 5: sum(rate(errors_total[1m]))",
        "health was unknown (no <answer>), and has to be at most 5: sum(rate(health_total[1m]))",
    )
    for words in ("it broke once", "took 2.7 seconds", "in its own transaction", "waited up to 2.5 seconds"):
        assert any(words in line for line in advice), words
    assert "Left to decide" not in [each.title for each in analysis(record)]


def test_nothing_is_said_of_a_rollback_that_has_not_begun(make_record: RecordMaker) -> None:
    record = make_record(cause=CAUSE, execution={"status": "ready", "attempts": 0, "started": None})
    assert analysis(record) == []
    assert "Analysis" not in to_markdown(record)
    assert "<h2>Analysis</h2>" not in to_html(record)


def test_it_is_on_the_page_with_all_escaped(make_record: RecordMaker) -> None:
    page = to_html(make_record(cause=CAUSE))
    assert "no &lt;answer&gt;" in page
    assert "<h3>Before the next try</h3>" in page
    assert "errors leaves its limits" in page
