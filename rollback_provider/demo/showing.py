"""What the demo prints."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rich.table import Table
from rich.text import Text

from rollback_provider.core.base import Json
from rollback_provider.core.document import Record
from rollback_provider.demo.tally import Latencies, Tally, latencies
from rollback_provider.demo.users import Users
from rollback_provider.demo.workshop import RunEnd, TaskEnd, Workshop


def shortfalls(end: RunEnd, record: Record | None, tally: Tally, users: Users | None) -> list[str]:
    """What is not as the demo promises. A rollback that had nothing to take back proves nothing."""
    expected = {
        "the migration was not committed": all(
            state == "success" for task, state in end.tasks.items() if task.partition(".")[0] == "migrate"
        ),
        "its verification did not fail": end.tasks.get("verify_migration") == "failed",
        "nothing was taken back": record is not None and any(step.changed for step in record.execution.steps),
        "the rollback is not verified": record is not None and record.execution.status == "verified",
        f"the outcome is {_outcome_of(end)}": _outcome_of(end) == "ROLLED_BACK",
        f"the DAG run is {end.state}": end.state == "failed",
        "no write was acknowledged": tally.acknowledged > 0,
        "acknowledged writes are lost": not tally.missing,
        "requests have failed": users is None or not users.errors,
        "users are not back where they were": users is None or all(way[0] == way[-1] for way in users.ways.values()),
        "users were not moved": users is None or all(len(way) > 1 for way in users.ways.values()),
    }
    return [shortfall for shortfall, fine in expected.items() if not fine]


def _outcome_of(end: RunEnd) -> str:
    return str(end.xcom.get(("outcome", "outcome"), "none"))


def task_line(task: TaskEnd) -> Text:
    """A task that has ended, on a line."""
    style = {"success": "green", "failed": "red"}.get(task.state, "dim")
    return Text.assemble(f"  {task.task_id:<24}", (f"{task.state:<10}", style), f"{task.seconds:6.1f} s")


def application_table(tally: Tally, writes: list[Json], record: Record | None, remarks: Json) -> Table:
    """What became of the application's writes."""
    table = Table(title="The application's writes", title_justify="left", show_header=False, box=None)
    found = f"{tally.present:,} present" + (f", {tally.listed:,} listed in the ledger" if tally.listed else "")
    table.add_row("acknowledged", f"{tally.acknowledged:,}")
    table.add_row("found", Text(found, style="green" if tally.complete else "red"))
    for missing in tally.missing[:10]:
        table.add_row("lost", Text(missing, style="red"))
    table.add_row("all the time", _milliseconds(latencies(writes)))
    if record:
        during = latencies(writes, record.execution.started, record.execution.finished)
        table.add_row("while rolling back", _milliseconds(during))
    errors = ", ".join(f"{count} {name}" for name, count in remarks.get("errors", {}).items())
    table.add_row("errors, tried again", errors or "none")
    return table


def _milliseconds(taken: Latencies) -> str:
    return f"{taken.count:,} writes, median {taken.median:.1f} ms, p99 {taken.p99:.1f} ms, worst {taken.worst:.0f} ms"


def users_table(users: Users) -> Table:
    """What became of the requests of the shop's users."""
    table = Table(title="The shop's users", title_justify="left", show_header=False, box=None)
    table.add_row("requests", f"{users.requests:,}")
    failed = ", ".join(f"{count} {name}" for name, count in users.errors.items())
    table.add_row("failed", Text(failed or "none", style="red" if failed else "green"))
    for name, way in users.ways.items():
        table.add_row(name, " → ".join(way))
    return table


def conclusion(end: RunEnd, record: Record | None, tally: Tally, users: Users | None) -> Text:
    """The outcome, or what is not as promised."""
    found = tally.present + tally.listed
    what = "present or listed" if tally.listed else "present"
    sign = "=" if tally.acknowledged == found else "but"
    writes = f"{tally.acknowledged:,} writes acknowledged {sign} {found:,} {what}."
    if missed := shortfalls(end, record, tally, users):
        return Text(f"\nNot as promised: {'; '.join(missed)}. {writes}", style="bold red")
    return Text(f"\n{_outcome_of(end)}. The DAG run is failed, as it should be. {writes}", style="bold green")


def next_commands(work: Path, workshop: Workshop, url: str, record: Record) -> Text:
    """What to try now; the variables that the commands need are written to a file that a shell can read."""
    settings = work / "environment"
    lines = [f"export {name}={shlex.quote(value)}" for name, value in workshop.settings.items()]
    lines.append(f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH")
    settings.write_text("\n".join(lines) + "\n", "utf-8")
    return Text(
        f"""
Report: {_short(work / "reports" / record.rollback_id)}.html (and .json, .md)
Airflow's log: {_short(workshop.log)}

Next:
  source {_short(settings)}
  rollbackctl show {record.rollback_id} --store {url}
  rollbackctl list --store {url}
  airflow standalone    # the UI with this run in it, at http://localhost:8080
  python -m rollback_provider.components.postgres.embedded {_short(work / "postgres")}    # PostgreSQL again, until Ctrl-C
"""
    )


def _short(path: Path) -> Path:
    """The path as seen from here, where it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
