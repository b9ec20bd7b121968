"""A rollback as lines for a task's log. Tells of rows how many there are, never what is in them: logs travel far."""

from __future__ import annotations

from io import StringIO

from rich.console import Console, RenderableType

from rollback_provider.core.document import Record
from rollback_provider.core.verification import Verification
from rollback_provider.report import facts
from rollback_provider.report.terminal import checks_table, plan_table
from rollback_provider.report.words import duration, number

WIDTH = 160
"""Characters of a line, at most: what Airflow's log page shows without wrapping on a wide screen."""


def plan_text(record: Record) -> list[str]:
    """Where the rollback goes, what it relies on, its steps, and its ledger by scope."""
    ledger = facts.whole_ledger(record)
    return [
        f"Rollback {record.rollback_id} of migration {record.migration}, back to snapshot {record.snapshot.id}",
        facts.ATTRIBUTIONS[record.attribution],
        f"Policy: {facts.policy_sentence(record.policy)}",
        *_lines(plan_table(record)),
        "Ledger",
        *[
            f"  {group.component} {group.scope}: {number(group.count)}. {group.meaning}"
            for group in facts.ledger_groups(ledger)
        ],
        f"  {facts.ledger_sentence(ledger)}",
        facts.outcome(record).sentence,
    ]


def execution_text(record: Record) -> list[str]:
    """What each step did and how long it took."""
    found = record.execution.ledger
    return [
        *[_step(step.id, step.title, facts.step_seconds(step), step.detail) for step in record.execution.steps],
        *([f"Found while executing: {facts.ledger_sentence(found)}"] if found.total() else []),
        f"{facts.outcome(record).title}. {facts.outcome(record).sentence}",
    ]


def verification_text(record: Record) -> list[str]:
    """Each check, those that need a look first, with every difference by name."""
    return [
        *checks_text(record.execution.verification),
        f"{facts.outcome(record).title}. {facts.outcome(record).sentence}",
    ]


def checks_text(verification: Verification) -> list[str]:
    """Each check, those that need a look first, with every difference by name, and what they add up to."""
    return _lines(checks_table(verification))


def _step(step_id: str, title: str, seconds: float | None, detail: str) -> str:
    took = "" if seconds is None else f" in {duration(seconds)}"
    return f"{step_id} {title}: done{took}" + (f", {detail}" if detail else "")


def _lines(what: RenderableType) -> list[str]:
    console = Console(file=StringIO(), width=WIDTH, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(what)
    return [line.rstrip() for line in captured.get().splitlines() if line.strip()]
