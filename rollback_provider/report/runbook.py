"""The runbook of an exported bundle: how a person takes the migration back with psql alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from rollback_provider.core.document import Record
from rollback_provider.core.model import Plan
from rollback_provider.core.verification import Check, CheckStatus
from rollback_provider.report import facts
from rollback_provider.report.markdown import code, escape, fence, table
from rollback_provider.report.words import duration, moment, number

IF_IT_FAILS = """\
`ON_ERROR_STOP` stops psql at the first error. Read the message, mend its cause, and go on from the step that failed:
the heading above each part of the script names its step. Do not run again what has succeeded. A lock that cannot be had
(`lock timeout`) needs no mending: try the same step again."""
SCRIPT = "rollback.sql"
PSQL = f"psql --no-psqlrc --set ON_ERROR_STOP=1 --file {SCRIPT}"
CONSTRAINTS = "select conrelid::regclass, conname from pg_constraint where not convalidated"
INDEXES = "select indexrelid::regclass from pg_index where not indisvalid"


def runbook(source: Plan | Record, files: Sequence[str] = ()) -> str:
    """Markdown: before, the steps in order with their scripts, and what to check afterwards.

    :param files: names of the bundle's other files, shown so that a reader sees whether the bundle is whole
    """
    steps = facts.planned_steps(source)
    snapshot = source.snapshot_id if isinstance(source, Plan) else source.snapshot.id
    made = source.created if isinstance(source, Plan) else source.timestamp
    parts = [
        f"# Runbook: roll back {escape(source.migration)}",
        f"Rollback {code(source.rollback_id)} to snapshot {code(snapshot)}, planned {moment(made)}.",
        "It needs `psql` and this folder, and nothing of Airflow.",
        *_state(source),
        "## Before",
        _numbered(_before(source, files)),
        "## Run",
        *(
            _run(source, files)
            if steps
            else ["The plan has no steps: nothing differed from the snapshot when it was made."]
        ),
        "## Check",
        _numbered(_afterwards(source)),
        "## If a command fails",
        IF_IT_FAILS,
    ]
    return "\n\n".join(parts) + "\n"


def _state(source: Plan | Record) -> list[str]:
    if isinstance(source, Plan) or not source.execution.attempts:
        return []
    outcome = facts.outcome(source)
    done = [step.id for step in source.execution.steps if step.status == "done"]
    lines = [f"> **{outcome.title}** when this was written: {escape(outcome.sentence)}"]
    if done:
        lines.append(f"> Steps that are done already, not to be run again: {', '.join(map(code, done))}.")
    return ["\n>\n".join(lines)]


def _before(source: Plan | Record, files: Sequence[str]) -> list[str]:
    ledger = facts.whole_ledger(source)
    lines = [
        "Make sure that the migration is no longer running, and that nobody else is executing this rollback.",
        "Read the ledger's count, since running the script is agreeing to it: " + facts.ledger_sentence(ledger),
        "The scripts fit the state when the plan was made: if anybody has changed the schema since, make a new plan.",
        "Set `PGHOST`, `PGDATABASE`, `PGUSER` and a password file for a role that owns the tables.",
    ]
    if files:
        lines.append("See that the bundle is whole: " + ", ".join(map(code, sorted(files))) + ".")
    notes = [f"Know this: {escape(note)}" for note in facts.plan_notes(source)]
    return lines + notes


def _run(source: Plan | Record, files: Sequence[str]) -> list[str]:
    rows = [
        (
            number(index),
            code(step.id),
            escape(f"{step.component}: {step.title}"),
            escape(step.locks or "nothing"),
            duration(step.estimate) if step.estimate is not None else "",
        )
        for index, step in enumerate(facts.planned_steps(source), 1)
    ]
    return [
        table(["", "Step", "What it does", "Locks", "Expected"], rows),
        "Everything, in this order, from within this folder:",
        fence("\n".join(_commands(source, files)), "sh"),
        "What it does, to read or to run part by part:",
        *_scripts(source),
    ]


def _commands(source: Plan | Record, files: Sequence[str]) -> list[str]:
    """One script for all where the bundle has it; otherwise one in each component's folder, in rollback order."""
    order = [step.component for step in facts.planned_steps(source)]
    folders = {str(PurePosixPath(name).parent) for name in files if PurePosixPath(name).name == SCRIPT}
    if not folders or "." in folders:
        return [PSQL]
    return [f"(cd {folder} && {PSQL})" for folder in dict.fromkeys(order) if folder in folders]


def _scripts(source: Plan | Record) -> list[str]:
    if isinstance(source, Plan):
        return [
            f"### {code(step.id)} {escape(step.title)}\n\n{fence(step.script, _language(step.section))}"
            for step in source.steps
        ]
    sections = source.scripts.model_dump().items()
    return [f"### {name.capitalize()}\n\n{fence(text, _language(name))}" for name, text in sections if text]


def _language(section: str) -> str:
    return "sql" if section == "database" else ""


def _afterwards(source: Plan | Record) -> list[str]:
    lines = [
        f"The rows that applications have written are there: compare counts of {_compared(source)}.",
        f"Every restored constraint is valid: `{CONSTRAINTS}` shows only what was so before.",
        f"Every index can be used: `{INDEXES}` shows nothing.",
        "The application answers, and writes.",
    ]
    if isinstance(source, Record):
        lines += [
            f"The last verification: {escape(check.name)} of {_place(check)} {check.status}: {escape(check.detail)}"
            for check in facts.sorted_checks(source.execution.verification.checks)
            if check.status is not CheckStatus.PASSED
        ]
    snapshot = source.snapshot_id if isinstance(source, Plan) else source.snapshot.id
    lines.append(f"Where this package runs again, `rollbackctl generate {snapshot}` lists what still differs.")
    return lines


def _compared(source: Plan | Record) -> str:
    return ", ".join(map(code, facts.whole_ledger(source).examined)) or "the tables that the script touches"


def _place(check: Check) -> str:
    return code(check.scope) if check.scope else escape(check.component)


def _numbered(lines: Sequence[str]) -> str:
    return "\n".join(f"{index}. {line}" for index, line in enumerate(lines, 1))
