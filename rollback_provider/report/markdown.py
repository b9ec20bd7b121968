"""Markdown for people: the report of a rollback, and what an approver reads before one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain

from rollback_provider.core.base import Json
from rollback_provider.core.document import Record, StepRecord
from rollback_provider.core.model import LedgerEntry, Plan
from rollback_provider.core.verification import Check, Verification
from rollback_provider.core.words import plural
from rollback_provider.report import facts
from rollback_provider.report.analysis import Part, analysis
from rollback_provider.report.words import duration, moment, number, shorten, summary

SHOWN = 5
"""Entries of each scope and action that are shown; the ledger itself holds all."""


def to_markdown(record: Record) -> str:
    """The whole story of a rollback. Everything that comes from the record is escaped."""
    run = record.execution
    outcome, migrated = facts.outcome(record), record.migration_verification
    return document(
        f"# Rollback of {escape(record.migration)}",
        f"**{outcome.title}.** {escape(outcome.sentence)}",
        _facts(record),
        f"## What stopped it\n\n{fence(run.error)}" if run.error else "",
        section("Analysis", *map(_part, analysis(record))),
        section("Checks", _checks(run.verification)),
        section("Checks of the migration", _checks(migrated)) if migrated else "",
        section("Ledger", _ledger(record)),
        section("Steps", _steps(run.steps)),
        section("To know", listed(record.notes)) if record.notes else "",
        section("Scripts", *_scripts(record)),
    )


def to_approve(plan: Plan) -> str:
    """What a person approves: steps, ledger, notes and terms, without the scripts. Fits a form's body."""
    return document(
        f"# Roll back {escape(plan.migration)}?",
        _aim(plan),
        section("What is lost, merged or in conflict", _ledger(plan)),
        section("Steps", _planned(plan)),
        section("To know", listed(facts.plan_notes(plan))) if facts.plan_notes(plan) else "",
        section("Terms", listed([facts.policy_sentence(plan.policy), facts.ATTRIBUTIONS[plan.attribution]])),
        f"Rollback {code(plan.rollback_id)}, planned {moment(plan.created)} by {escape(plan.actor or 'nobody named')}.",
    )


def _aim(plan: Plan) -> str:
    snapshot = code(plan.snapshot_id)
    if not plan.steps:
        return f"Nothing differs from snapshot {snapshot}: there is nothing to take back."
    return f"{plural(len(plan.steps), 'step')} to go back to snapshot {snapshot}. Nothing has been changed yet."


def escape(text: str) -> str:
    """Text as itself in a paragraph or a table cell: no markup, no HTML, one line."""
    one_line = " ".join(text.split())
    plain = re.sub(r"([\\`*_{}\[\]#|~])", r"\\\1", one_line)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """Text as a code span, also inside a table cell."""
    one_line = " ".join(text.split()) or " "
    longest = max((len(run) for run in re.findall("`+", one_line)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{ticks}{pad}{one_line.replace('|', chr(92) + '|')}{pad}{ticks}"


def fence(text: str, language: str = "") -> str:
    """Text as a block of code that nothing in it can close."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def document(*parts: str) -> str:
    """Paragraphs, those that are empty left out."""
    return "\n\n".join(part for part in parts if part) + "\n"


def section(title: str, *parts: str) -> str:
    """A section of the second level; empty where its parts are."""
    body = "\n\n".join(part for part in parts if part)
    return f"## {title}\n\n{body}" if body else ""


def listed(lines: Iterable[str]) -> str:
    """A list of plain lines."""
    return "\n".join(f"- {escape(line)}" for line in lines)


def _facts(record: Record) -> str:
    run = record.execution
    lock = facts.longest_lock(run.steps)
    rows = [
        ("Rollback", code(record.rollback_id)),
        ("Status", run.status),
        ("Planned", f"{moment(record.timestamp)} by {escape(record.actor or 'nobody named')}"),
        ("Began", moment(run.started)),
        ("Duration", f"{duration(run.duration)} in {plural(run.attempts, 'attempt')}" if run.attempts else ""),
        ("Longest lock", f"{duration(lock[1])} on {escape(lock[0])}" if lock else ""),
        ("Snapshot", f"{code(record.snapshot.id)}, {moment(record.snapshot.created)}"),
        ("Checkpoint", code(record.checkpoint_id) if record.checkpoint_id else "none"),
        ("Policy", escape(facts.policy_sentence(record.policy))),
        ("Attribution", escape(facts.ATTRIBUTIONS[record.attribution])),
        *((f"Component {code(part['name'])}", escape(_component(part))) for part in record.snapshot.components),
    ]
    return table(["", ""], [row for row in rows if row[1]])


def _component(part: Json) -> str:
    return ": ".join(filter(None, (part["kind"], summary(part["summary"]))))


def _part(part: Part) -> str:
    rows = [[escape(cell) for cell in row] for row in part.rows]
    lines = escape(part.lines[0]) if len(part.lines) == 1 else listed(part.lines)
    return "\n\n".join(filter(None, (f"### {part.title}", lines, table(part.headings, rows) if rows else "")))


def _checks(verification: Verification) -> str:
    checks = verification.checks
    if not checks:
        return "No check has run yet."
    rows = [
        (check.status.value, escape(check.name), _place(check.component, check.scope), escape(_finding(check)))
        for check in facts.sorted_checks(checks)
    ]
    differences = [
        f"{escape(check.name)} of {_place(check.component, check.scope)}:\n\n{listed(check.differences)}"
        for check in facts.sorted_checks(checks)
        if check.differences
    ]
    areas = [(name, tally.status.value, facts.tally_text(tally)) for name, tally in facts.areas(verification)]
    total = [facts.score_sentence(verification), table(["Area", "Result", "Checks"], areas)] if areas else []
    links = listed(dict.fromkeys(f"More of {check.name}: {check.link}" for check in checks if check.link))
    parts = [*total, table(["Result", "Check", "Of", "Found"], rows), links, *differences]
    return "\n\n".join(part for part in parts if part)


def _finding(check: Check) -> str:
    found = shorten(check.actual)
    if check.expected != check.actual:
        found = f"expected {shorten(check.expected)}, found {found}"
    return "; ".join(filter(None, (check.detail, found)))


def _ledger(source: Plan | Record) -> str:
    ledger = facts.whole_ledger(source)
    groups = facts.ledger_groups(ledger)
    rows = [(_place(group.component, group.scope), number(group.count), escape(group.meaning)) for group in groups]
    return "\n\n".join(
        [
            facts.ledger_sentence(ledger),
            *([table(["Where", "Entries", "What becomes of them"], rows)] if rows else []),
            *(_entries(group) for group in groups if group.sample),
        ]
    )


def _entries(group: facts.LedgerGroup) -> str:
    shown = group.sample[:SHOWN]
    which = "every entry" if len(shown) == group.count else f"the first {len(shown)} of {number(group.count)}"
    lead = f"{_place(group.component, group.scope)}, {group.action.value.replace('_', ' ')}, {which}:"
    return f"{lead}\n\n{table(['Key', 'Snapshot', 'Migration', 'Now', 'Why'], map(_entry, shown))}"


def _entry(entry: LedgerEntry) -> list[str]:
    rows = (entry.key, entry.before, entry.migrated, entry.now)
    return [*(_values(row) for row in rows), escape(entry.reason)]


def _values(row: dict[str, str | None] | None) -> str:
    if row is None:
        return "nothing"
    return ", ".join(code(f"{name}={'null' if value is None else shorten(value, 60)}") for name, value in row.items())


def _planned(source: Plan | Record) -> str:
    rows = [
        (
            code(step.id),
            escape(f"{step.component}: {step.title}"),
            escape(step.locks or "nothing"),
            duration(step.estimate) if step.estimate is not None else "",
        )
        for step in facts.planned_steps(source)
    ]
    return table(["Step", "What it does", "Locks", "Expected"], rows) if rows else ""


def _steps(steps: Sequence[StepRecord]) -> str:
    if not steps:
        return "No steps: nothing differed from the snapshot."
    return table(["Step", "What it does", "State", "Took", "Locked"], map(_step, steps))


def _step(step: StepRecord) -> list[str]:
    seconds = facts.step_seconds(step)
    attempts = f", {plural(step.attempts, 'attempt')}" if step.attempts > 1 else ""
    locks = ", ".join(f"{what} {duration(held)}" for what, held in step.lock_seconds.items())
    return [
        code(step.id),
        escape(". ".join(filter(None, (f"{step.component}: {step.title}", step.detail, step.error)))),
        f"{step.status}{attempts}",
        "" if seconds is None else duration(seconds),
        escape(locks or step.locks or "nothing"),
    ]


def _scripts(record: Record) -> Iterable[str]:
    scripts = {
        "Database": (record.scripts.database, "sql"),
        "Application": (record.scripts.application, ""),
        "Infrastructure": (record.scripts.infrastructure, ""),
    }
    return chain.from_iterable((f"### {name}", fence(text, kind)) for name, (text, kind) in scripts.items() if text)


def _place(component: str, scope: str) -> str:
    return f"{escape(component)} {code(scope)}" if scope else escape(component)
