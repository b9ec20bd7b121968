"""What a terminal shows: renderables for `rich`, used by the command line and the demo."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rollback_provider.core.document import Record
from rollback_provider.core.model import Ledger, LedgerEntry, Plan
from rollback_provider.core.verification import CheckStatus, Verification
from rollback_provider.report import facts
from rollback_provider.report.analysis import Part, next_try, triggered
from rollback_provider.report.timeline import Bar
from rollback_provider.report.timeline import timeline as lay_out
from rollback_provider.report.words import duration, number, shorten

STYLES = {
    facts.Level.GOOD: "green",
    facts.Level.ATTENTION: "yellow",
    facts.Level.BAD: "red",
    facts.Level.OPEN: "blue",
}
CHECKS = {
    CheckStatus.PASSED: "green",
    CheckStatus.FAILED: "bold red",
    CheckStatus.WARNING: "yellow",
    CheckStatus.UNKNOWN: "bold yellow",
}
BARS = {
    "done": "blue",
    "failed": "red",
    "running": "yellow",
    "check-passed": "green",
    "check-failed": "red",
    "check-warning": "yellow",
    "check-unknown": "yellow",
}
CELLS = 36
"""Characters of the longest bar."""
SHOWN = 3
"""Ledger entries of each scope and action that are shown."""


def full_report(record: Record) -> Group:
    """Everything there is to see: cause, plan, ledger, timeline, checks, what to change, outcome, in this order."""
    advice = next_try(record)
    parts = [
        part_text(triggered(record.cause)) if record.cause else None,
        plan_table(record),
        ledger_table(facts.whole_ledger(record)),
        timeline(record),
        checks_table(record.execution.verification),
        part_text(advice) if record.execution.attempts and advice.lines else None,
    ]
    return Group(*(each for part in parts if part for each in (part, Text())), outcome_panel(record))


def part_text(part: Part) -> Group:
    """A part of the analysis: its sentences, and its table beneath."""
    lines = [Text(f"  {line}") for line in part.lines]
    if not part.rows:
        return Group(_heading(part.title), *lines)
    table = _table("")
    for heading in part.headings:
        table.add_column(heading, overflow="fold")
    for row in part.rows:
        table.add_row(*map(Text, row))
    return Group(_heading(part.title), *lines, table)


def plan_table(source: Plan | Record) -> RenderableType:
    """The steps in rollback order, with what each locks and how long it should take, and the notes beneath."""
    steps = facts.planned_steps(source)
    table = _table("Plan")
    for heading in ("Step", "Component", "What it does", "Locks"):
        table.add_column(heading, overflow="fold")
    table.add_column("Expected", justify="right", no_wrap=True)
    for step in steps:
        table.add_row(
            Text(step.id, style="cyan"),
            Text(step.component),
            Text(step.title),
            Text(step.locks or "nothing", style="" if step.locks else "dim"),
            Text(duration(step.estimate) if step.estimate is not None else ""),
        )
    notes = [Text(f"  Note: {note}", style="yellow") for note in facts.plan_notes(source)]
    if not steps:
        return Group(_heading("Plan"), Text("No steps: nothing differs from the snapshot."), *notes)
    return Group(table, *notes)


def ledger_table(ledger: Ledger) -> RenderableType:
    """Counts by scope and action, a few entries of each, and the sentence that says what it comes to."""
    sentence = Text(facts.ledger_sentence(ledger))
    groups = facts.ledger_groups(ledger)
    if not groups:
        return Group(_heading("Ledger"), sentence)
    table = _table("Ledger")
    table.add_column("Where", overflow="fold")
    table.add_column("Entries", justify="right", no_wrap=True)
    table.add_column("What becomes of them", overflow="fold", ratio=1)
    for group in groups:
        details = Text(group.meaning, style="yellow" if group.losing else "")
        shown = group.sample[:SHOWN]
        for entry in shown:
            details.append(f"\n{_entry(entry)}", style="dim")
        if group.count > len(shown):
            details.append(f"\n… and {number(group.count - len(shown))} more", style="dim")
        table.add_row(Text(f"{group.component} {group.scope}"), Text(number(group.count)), details)
    return Group(table, sentence)


def timeline(record: Record) -> RenderableType:
    """Each step as a bar over the time of the execution, then the verification."""
    picture = lay_out(record)
    if not picture.bars:
        return Group(_heading("Timeline"), Text("Nothing has run, and there is nothing to run."))
    table = _table("Timeline" if not picture.expected else "Timeline (nothing has run yet)")
    table.add_column("Step", overflow="fold")
    table.add_column("", no_wrap=True, min_width=CELLS)
    table.add_column("", overflow="fold")
    ends = [bar.x + bar.width - picture.label for bar in picture.bars]
    scale = CELLS / max(ends)
    for bar in picture.bars:
        table.add_row(Text(bar.label), _bar(bar, bar.x - picture.label, scale), Text(bar.remark, style="dim"))
    lock = facts.longest_lock(record.execution.steps)
    held = Text(f"Longest lock against applications: {duration(lock[1])} ({lock[0]})", style="dim") if lock else Text()
    return Group(table, held) if lock else table


def checks_table(verification: Verification) -> RenderableType:
    """What was measured, with what needs a look first and each difference by name."""
    checks = facts.sorted_checks(verification.checks)
    if not checks:
        return Group(_heading("Checks"), Text("No check has run yet."))
    table = _table("Checks")
    table.add_column("Result", no_wrap=True)
    table.add_column("Check", overflow="fold")
    table.add_column("Of", overflow="fold")
    table.add_column("Found", overflow="fold", ratio=1)
    for check in checks:
        found = Text(check.detail)
        if check.expected != check.actual:
            lead = "; " if check.detail else ""
            found.append(f"{lead}expected {shorten(check.expected)}, found {shorten(check.actual)}")
        if check.link:
            found.append(f"\n{check.link}", style="dim")
        # What was found good is told in a word: logs travel far, and rows are nobody's business there.
        for difference in check.differences if check.status is not CheckStatus.PASSED else ():
            found.append(f"\n{difference}", style=CHECKS[check.status])
        of = f"{check.component} {check.scope}".strip()
        table.add_row(Text(check.status.value, style=CHECKS[check.status]), Text(check.name), Text(of), found)
    told = "\n".join(f"{name}: {facts.tally_text(tally)}" for name, tally in facts.areas(verification))
    return Group(table, Text(told, style="dim"), Text(facts.score_sentence(verification))) if told else table


def outcome_panel(record: Record) -> Panel:
    """How the rollback stands, in one sentence, with the error that stopped it where there is one."""
    outcome = facts.outcome(record)
    style = STYLES[outcome.level]
    body = Text(outcome.sentence)
    if record.execution.error:
        body.append(f"\n{record.execution.error}", style="red")
    body.append(f"\n{record.rollback_id}", style="dim")
    return Panel(
        body, title=Text(outcome.title, style=f"bold {style}"), title_align="left", border_style=style, padding=(0, 1)
    )


def _table(title: str) -> Table:
    return Table(
        title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, expand=False
    )


def _heading(title: str) -> Text:
    return Text(title, style="bold")


def _bar(bar: Bar, offset: float, scale: float) -> Text:
    begin = min(round(offset * scale), CELLS - 1)
    length = max(1, min(round(bar.width * scale), CELLS - begin))
    if bar.kind in {"pending", "expected"}:
        return Text(" " * begin + "╌" * length, style="dim")
    return Text(" " * begin + "█" * length, style=BARS[bar.kind])


def _entry(entry: LedgerEntry) -> str:
    now = "gone" if entry.now is None else f"now {_values(entry.now)}"
    before = "was not there" if entry.before is None else f"was {_values(entry.before)}"
    return f"{_values(entry.key)}: {before}, {now}"


def _values(row: dict[str, str | None]) -> str:
    return ", ".join(f"{name}={'null' if value is None else shorten(value, 40)}" for name, value in row.items())
