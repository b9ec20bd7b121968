"""The analysis of a rollback: its cause, its course, and what to change."""

from __future__ import annotations

from rollback_provider.core.document import Record, Rehearsed
from rollback_provider.core.model import Attribution, Ledger
from rollback_provider.core.verdict import verdict
from rollback_provider.core.verification import Check, CheckStatus
from rollback_provider.report.analysis import Part, analysis
from rollback_provider.report.html import to_html
from rollback_provider.report.markdown import to_markdown
from tests.fix_records import CAUSE, CHECKS, STEPS, RecordMaker


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


def test_failed_checks_are_told_with_what_they_asked(make_record: RecordMaker) -> None:
    paid = Check(
        component="orders_db",
        name="paid orders have a payment",
        status=CheckStatus.FAILED,
        expected="no rows",
        actual="5 rows",
        differences=("id 1", "id 2", "id 3", "id 4", "id 5"),
        statement="select id\n  from orders where not paid",
    )
    index = Check(
        component="orders",
        name="schema",
        status=CheckStatus.FAILED,
        detail="1 differences",
        differences=("index public.by_total is gone",),
    )
    record = make_record(
        migration_verification=verdict([paid, CHECKS[0]]),
        execution={"status": "executed", "verification": verdict([index])},
    )
    assert part(record, "Before the next try").lines[:2] == (
        "After the migration, check paid orders have a payment of orders_db: failed, expected no rows, found 5 rows: "
        "id 1; id 2; id 3 and 2 more. It asks: select id from orders where not paid",
        "After the rollback, check schema of orders: failed, 1 differences: index public.by_total is gone",
    )


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


def test_what_a_rehearsal_had_said(make_record: RecordMaker) -> None:
    said = Rehearsed(certificate_id="certificate-1", rows=1, expected=10.0, low=8.0, high=13.0, took=11.0)
    record = make_record(rehearsed=said)
    assert part(record, "Estimate against real").lines == (
        "Planning and execution were rehearsed on 1 row to take 10 seconds, between 8 seconds and 13 seconds;"
        " they took 11 seconds: off by +10 % (certificate certificate-1)",
    )
    assert not [line for line in part(record, "Before the next try").lines if "larger copies" in line]
    far = make_record(rehearsed=said.model_copy(update={"took": 20.0}))
    assert [line for line in part(far, "Before the next try").lines if "larger copies" in line]
    unknown = make_record(rehearsed=said.model_copy(update={"expected": 0.0, "low": None, "took": 0.5}))
    assert "to take 0 seconds; they took 500 ms: off by 500 ms" in part(unknown, "Estimate against real").lines[0]
    unfinished = make_record(rehearsed=said.model_copy(update={"took": None}))
    assert part(unfinished, "Estimate against real").lines[0].endswith("it is not finished")
    assert "were rehearsed on 1 row" in to_html(record)
