"""``make demo``: a migration fails in an Airflow DAG while an application writes, and is taken back, with proof."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NoReturn

import psycopg
from rich.console import Console
from rich.table import Table
from rich.text import Text

import rollback_provider
from rollback_provider.core.errors import ConfigurationError, RollbackError
from rollback_provider.core.ledger import read_ledger
from rollback_provider.core.model import Json, Record
from rollback_provider.core.record import load_record
from rollback_provider.demo.server import Server, running_server
from rollback_provider.demo.shop import DATABASE, OWNER, create_shop
from rollback_provider.demo.tally import Latencies, Tally, count_writes, latencies, read_log
from rollback_provider.demo.workshop import DAG_ID, RunEnd, TaskEnd, Workshop
from rollback_provider.report.terminal import full_report
from rollback_provider.store import open_store

CHECKOUT = Path(rollback_provider.__file__).resolve().parents[1]


@dataclass
class Shop:
    """The application at work; `remarks` is what it says of itself when it has ended."""

    writes: Path
    remarks: Json


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; 0 only if the migration was rolled back, proven so, and no acknowledged write is lost."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--work", type=Path, default=CHECKOUT / ".work" / "demo", help="where everything lies")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return demo(console, options.work.resolve(), CHECKOUT / "dags")
    except RollbackError as error:
        console.print(Text(str(error), style="red"))
        return 1
    except KeyboardInterrupt:
        console.print("Stopped. Nothing is left running.")
        return 130


def demo(console: Console, work: Path, dags: Path) -> int:
    """The demo, in `work`; see :func:`main`."""
    if not (dags / f"{DAG_ID}.py").exists():
        raise ConfigurationError(f"There is no {dags / DAG_ID}.py", next_step="Run the demo from a checkout: make demo")
    work.mkdir(parents=True, exist_ok=True)
    url = f"file://{work / 'store'}"
    with running_server(work / "postgres") as server:
        # The database is made afresh, so that snapshots of earlier demos are of no use any more.
        shutil.rmtree(work / "store", ignore_errors=True)
        shutil.rmtree(work / "reports", ignore_errors=True)
        workshop = Workshop(work, dags, server, url)
        with console.status("Loading the shop's database"):
            create_shop(server, dags / "ecommerce")
        console.print("The shop's database is there: 200,000 orders")
        with console.status("Setting up Airflow"):
            workshop.prepare()
        console.print("Airflow is set up, on SQLite")
        with application(server, work) as shop:
            console.print("The application goes on writing, 200 times a second")
            with console.status(f"Airflow runs {DAG_ID}"):
                end = workshop.run(lambda task: console.print(_line(task)))
        store = open_store(url)
        rollback_id = end.xcom.get(("rollback.generate", "return_value"))
        record = load_record(store, str(rollback_id)) if rollback_id else None
        ledger = chain(read_ledger(record.ledger, store), read_ledger(record.execution.ledger, store)) if record else ()
        writes = read_log(shop.writes)
        with psycopg.connect(server.dsn(DATABASE), autocommit=True) as connection:
            tally = count_writes(connection, writes, ledger)
    console.print()
    if record:
        console.print(full_report(record))
    console.print(_application_table(tally, writes, record, shop.remarks))
    console.print(_outcome(end, record, tally))
    if record:
        console.print(_next_commands(work, workshop, url, record), soft_wrap=True)
    else:
        console.print(f"No rollback was planned. Airflow's log says why: {workshop.log}", soft_wrap=True)
    return 1 if _shortfalls(end, record, tally) else 0


@contextmanager
def application(server: Server, work: Path) -> Iterator[Shop]:
    """Lets the application write until the block ends."""
    shop = Shop(work / "writes.jsonl", {})
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "rollback_provider.demo.application", server.dsn(DATABASE, OWNER), shop.writes],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield shop
    finally:
        said, _ = process.communicate()
        shop.remarks |= json.loads(said or "{}")


def _shortfalls(end: RunEnd, record: Record | None, tally: Tally) -> list[str]:
    """What is not as the demo promises. A rollback that had nothing to take back proves nothing."""
    expected = {
        "the migration was not committed": end.tasks.get("migrate") == "success",
        "its verification did not fail": end.tasks.get("verify_migration") == "failed",
        "nothing was taken back": record is not None and any(step.changed for step in record.execution.steps),
        "the rollback is not verified": record is not None and record.execution.status == "verified",
        f"the outcome is {_outcome_of(end)}": _outcome_of(end) == "ROLLED_BACK",
        f"the DAG run is {end.state}": end.state == "failed",
        "no write was acknowledged": tally.acknowledged > 0,
        "acknowledged writes are lost": not tally.missing,
    }
    return [shortfall for shortfall, fine in expected.items() if not fine]


def _outcome_of(end: RunEnd) -> str:
    return str(end.xcom.get(("outcome", "outcome"), "none"))


def _line(task: TaskEnd) -> Text:
    style = {"success": "green", "failed": "red"}.get(task.state, "dim")
    return Text.assemble(f"  {task.task_id:<20}", (f"{task.state:<10}", style), f"{task.seconds:6.1f} s")


def _application_table(tally: Tally, writes: list[Json], record: Record | None, remarks: Json) -> Table:
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


def _outcome(end: RunEnd, record: Record | None, tally: Tally) -> Text:
    found = tally.present + tally.listed
    what = "present or listed" if tally.listed else "present"
    sign = "=" if tally.acknowledged == found else "but"
    writes = f"{tally.acknowledged:,} writes acknowledged {sign} {found:,} {what}."
    if shortfalls := _shortfalls(end, record, tally):
        return Text(f"\nNot as promised: {'; '.join(shortfalls)}. {writes}", style="bold red")
    return Text(f"\n{_outcome_of(end)}. The DAG run is failed, as it should be. {writes}", style="bold green")


def _next_commands(work: Path, workshop: Workshop, url: str, record: Record) -> Text:
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
  python -m rollback_provider.demo.server {_short(work / "postgres")}    # PostgreSQL again, until Ctrl-C
"""
    )


def _short(path: Path) -> Path:
    """The path as seen from here, where it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _terminated(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
