"""What the terminal shows, at a given width and without colours."""

from __future__ import annotations

from io import StringIO

from rich.console import Console, RenderableType

from rollback_provider.core.model import Ledger, LedgerCount, Plan
from rollback_provider.core.verification import Verification
from rollback_provider.report import terminal
from tests.fix_records import CAUSE, LEDGER, STEPS, RecordMaker


def shown(what: RenderableType, width: int = 140) -> str:
    """The text of a renderable."""
    console = Console(file=StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


def test_full_report_tells_everything_in_order(make_record: RecordMaker) -> None:
    text = shown(terminal.full_report(make_record()))
    places = [text.index(word) for word in ("Plan", "Ledger", "Timeline", "Checks", "Rolled back, with warnings")]
    assert places == sorted(places)
    assert "Longest lock against applications: 1 ms (public.orders)" in text


def test_cause_comes_first_and_what_to_change_last(make_record: RecordMaker) -> None:
    text = shown(terminal.full_report(make_record(cause=CAUSE)), width=200)
    places = [
        text.index(word)
        for word in (
            "What triggered it",
            "sum(rate(errors_total[1m]))",
            "Plan",
            "Checks",
            "Before the next try",
            "Rolled back",
        )
    ]
    assert places == sorted(places)
    assert "errors was 9, and has to be at most 5: sum(rate(errors_total[1m]))" in text
    planned = make_record(cause=CAUSE, execution={"status": "ready", "attempts": 0, "started": None})
    text = shown(terminal.full_report(planned))
    assert "What triggered it" in text
    assert "Before the next try" not in text


def test_plan_of_a_plan_and_of_its_record_are_the_same(plan: Plan, make_record: RecordMaker) -> None:
    assert shown(terminal.plan_table(plan)) == shown(terminal.plan_table(make_record()))


def test_plan_without_steps_says_so(make_record: RecordMaker) -> None:
    text = shown(terminal.plan_table(make_record(execution={"steps": ()})))
    assert "No steps: nothing differs from the snapshot." in text
    assert "comes back as the last column" in text


def test_names_are_no_markup(make_record: RecordMaker) -> None:
    step = STEPS[0].model_copy(update={"title": "Rename [red]x[/red] :boom:"})
    record = make_record(notes=("[bold]note",), execution={"steps": (step,), "error": "[/nothing]"})
    text = shown(terminal.full_report(record))
    assert "Rename [red]x[/red] :boom:" in text
    assert "[bold]note" in text
    assert "[/nothing]" in text


def test_ledger_counts_what_it_does_not_show() -> None:
    text = shown(terminal.ledger_table(LEDGER))
    assert "id=17: was status=paid, now status=shipped" in text
    assert "… and 2 more" in text
    assert "code=SUMMER: was not there, now code=SUMMER, percent=null" in text
    assert text.index("public.vouchers") < text.index("public.orders")


def test_ledger_without_sample_counts_all() -> None:
    count = LedgerCount(component="orders", scope="public.orders", action=LEDGER.counts[0].action, count=2000)
    assert "… and 2,000 more" in shown(terminal.ledger_table(Ledger(counts=(count,))))


def test_empty_ledger_is_a_proof() -> None:
    text = shown(terminal.ledger_table(Ledger(examined={"orders/public.orders": 1200})))
    assert "Nothing is discarded, merged or in conflict. 1,200 rows compared." in text


def test_timeline_has_a_bar_for_each_step_and_the_checks(make_record: RecordMaker) -> None:
    lines = [line for line in shown(terminal.timeline(make_record())).splitlines() if "█" in line]
    assert len(lines) == len(STEPS) + 1
    assert "2.7 s, 2 attempts" in lines[1]
    assert lines[1].count("█") > 4 * lines[0].count("█")
    assert lines[0].index("█") < lines[1].index("█") < lines[2].index("█")


def test_timeline_of_nothing(make_record: RecordMaker) -> None:
    run = {"steps": (), "started": None, "finished": None, "verification": Verification(), "status": "ready"}
    assert "nothing to run" in shown(terminal.timeline(make_record(execution=run)))


def test_checks_name_each_difference(make_record: RecordMaker) -> None:
    text = shown(terminal.checks_table(make_record().execution.verification))
    assert text.index("warning") < text.index("passed")
    assert "remark: was 4th, is 7th" in text


def test_outcome_shows_the_error_that_stopped_it(make_record: RecordMaker) -> None:
    failed = STEPS[1].model_copy(update={"status": "failed", "error": "orders: The server is gone."})
    run = {"status": "ready", "steps": (STEPS[0], failed), "error": failed.error, "verification": Verification()}
    text = shown(terminal.outcome_panel(make_record(execution=run)))
    assert "Rollback failed" in text
    assert "orders: The server is gone." in text


def test_narrow_terminal_loses_no_word(make_record: RecordMaker) -> None:
    text = shown(terminal.plan_table(make_record()), width=80)
    for step in STEPS:
        assert all(word in text for word in step.title.split())
