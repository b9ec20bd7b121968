"""``make demo``: a migration fails in an Airflow DAG while an application writes, and is taken back, with proof.

``make demo-cutover``: the same with five more systems, while users go on asking.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NoReturn

import psycopg
from rich.console import Console
from rich.text import Text

import rollback_provider
from rollback_provider.components.postgres.embedded import Server, running_server
from rollback_provider.core.base import Json
from rollback_provider.core.errors import ConfigurationError, RollbackError
from rollback_provider.core.ledger import read_ledger
from rollback_provider.core.record import load_record
from rollback_provider.demo.machines import running_machines
from rollback_provider.demo.shop import DATABASE, OWNER, create_shop
from rollback_provider.demo.showing import (
    application_table,
    conclusion,
    next_commands,
    shortfalls,
    task_line,
    users_table,
)
from rollback_provider.demo.tally import count_writes, read_log
from rollback_provider.demo.users import Users
from rollback_provider.demo.workshop import Workshop
from rollback_provider.report.terminal import full_report
from rollback_provider.store import open_store

CHECKOUT = Path(rollback_provider.__file__).resolve().parents[1]
PACKAGES = CHECKOUT / ".work" / "debian"
"""Where make unpacks packages of Debian."""
USERS = ("ada", "grace", "barbara")


@dataclass
class Shop:
    """The application at work; `remarks` is what it says of itself when it has ended."""

    writes: Path
    remarks: Json


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; 0 only if the migration was rolled back, proven so, and no acknowledged write is lost."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--cutover", action="store_true", help="with releases, flags, settings, traffic and names, too")
    parser.add_argument("--work", type=Path, default=CHECKOUT / ".work" / "demo", help="where everything lies")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, _terminated)  # ignored where a shell started this in the background
    try:
        return demo(console, options.work.resolve(), CHECKOUT / "dags", cutover=options.cutover)
    except RollbackError as error:
        console.print(Text(str(error), style="red"))
        return 1
    except KeyboardInterrupt:
        console.print("Stopped. Nothing is left running.")
        return 130


def demo(console: Console, work: Path, dags: Path, *, cutover: bool) -> int:
    """The demo, in `work`; see :func:`main`."""
    dag_id = "ecommerce_cutover" if cutover else "ecommerce_migration"
    if not (dags / f"{dag_id}.py").exists():
        raise ConfigurationError(f"There is no {dags / dag_id}.py", next_step="Run the demo from a checkout: make demo")
    work.mkdir(parents=True, exist_ok=True)
    url = f"file://{work / 'store'}"
    with ExitStack() as stack:
        server = stack.enter_context(running_server(work / "postgres"))
        # The database is made afresh, so that snapshots of earlier demos are of no use any more.
        shutil.rmtree(work / "store", ignore_errors=True)
        shutil.rmtree(work / "reports", ignore_errors=True)
        machines = stack.enter_context(running_machines(work / "machines", PACKAGES)) if cutover else None
        with console.status("Loading the shop's database"):
            create_shop(server, dags / "ecommerce")
        console.print("The shop's database is there: 200,000 orders")
        database = {"conn_type": "postgres", "host": server.socket, "login": OWNER, "schema": DATABASE}
        workshop = Workshop(
            work,
            dags,
            dag_id,
            {
                "ecommerce_db": database,
                "rollback_store_default": {"conn_type": "rollback_store", "host": url},
                **(machines.connections if machines else {}),
            },
            {"SHOP_HOME": str(machines.home)} if machines else {},
        )
        with console.status("Setting up Airflow"):
            workshop.prepare()
        console.print("Airflow is set up, on SQLite")
        with ExitStack() as at_work:
            shop = at_work.enter_context(application(server, work))
            console.print("The application goes on writing, 200 times a second")
            users = Users(machines.url, USERS) if machines else None
            if users:
                at_work.enter_context(users.coming())
                console.print(f"{', '.join(USERS)} go on asking, each at her server")
            with console.status(f"Airflow runs {dag_id}"):
                end = workshop.run(lambda task: console.print(task_line(task)))
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
    console.print(application_table(tally, writes, record, shop.remarks))
    if users:
        console.print(users_table(users))
    console.print(conclusion(end, record, tally, users))
    if record:
        console.print(next_commands(work, workshop, url, record), soft_wrap=True)
    else:
        console.print(f"No rollback was planned. Airflow's log says why: {workshop.log}", soft_wrap=True)
    return 1 if shortfalls(end, record, tally, users) else 0


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


def _terminated(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
