"""``python -m benchmarks.checks``: declared checks beside each other, against one pg_dump of the same table and Great Expectations."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from shutil import rmtree
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import large_table
from benchmarks.__main__ import MEBIBYTE, RESULTS, machine_of
from benchmarks.measure import run_command
from rollback_provider.components.postgres.embedded import Server, running_server
from rollback_provider.core import checking
from rollback_provider.core.checking import run_checks, seal_checks
from rollback_provider.core.checks import parse_checks

DATABASE = "checked"
RULES = {
    "amounts are positive": "select id from measurements where amount < 0",
    "status is known": "select id from measurements where status not in ('new', 'paid', 'sent', 'done')",
    "quantity is within bounds": "select id from measurements where quantity not between 0 and 99",
    "a ratio is there": "select id from measurements where ratio is null",
    "updated after it was made": "select id from measurements where updated_at < created_at",
    "the e-mail has an at sign": "select id from measurements where email !~ '^[^@]+@[^@]+$'",
    "codes begin with C": "select id from measurements where code !~ '^C-'",
    "tokens are used once": "select token from measurements group by token having count(*) > 1",
    "days are not before 2020": "select id from measurements where day < date '2020-01-01'",
    "the payload has its number": "select id from measurements where (payload ->> 'number') is null",
}
"""What a data platform team asks of a table: ten rules, each read the whole table."""
SUITE = [
    ("expect_column_values_to_be_between", {"column": "amount", "min_value": 0}),
    ("expect_column_values_to_be_in_set", {"column": "status", "value_set": ["new", "paid", "sent", "done"]}),
    ("expect_column_values_to_be_between", {"column": "quantity", "min_value": 0, "max_value": 99}),
    ("expect_column_values_to_not_be_null", {"column": "ratio"}),
    (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {
            "column_A": "updated_at",
            "column_B": "created_at",
            "or_equal": True,
            "ignore_row_if": "either_value_is_missing",
        },
    ),
    ("expect_column_values_to_match_regex", {"column": "email", "regex": "^[^@]+@[^@]+$"}),
    ("expect_column_values_to_match_regex", {"column": "code", "regex": "^C-"}),
    ("expect_column_values_to_be_unique", {"column": "token"}),
    ("expect_column_values_to_be_between", {"column": "day", "min_value": "2020-01-01"}),
    ("expect_column_values_to_not_be_null", {"column": "payload"}),
]
"""The same rules, as near as Great Expectations has them."""


@dataclass(frozen=True)
class Costs:
    """Seconds.

    :param beside: ten checks, beside each other
    :param one_by_one: the same, one after the other
    :param dump: of one pg_dump of the table
    :param suite_import: of importing Great Expectations in a fresh process
    :param suite_run: of running the suite once it is imported
    """

    rows: int
    heap: int
    beside: float
    one_by_one: float
    dump: float
    suite_import: float
    suite_run: float


def measure(server: Server, work: Path, rows: int) -> Costs:
    """Runs the rules each way; all must hold. A rule that does not is an error of the benchmark."""
    large_table.create(server, DATABASE, rows)
    heap = large_table.heap_bytes(server, DATABASE)
    rules = [
        {"kind": "sql", "name": name, "connection": DATABASE, "sql": sql, "timeout": 600} for name, sql in RULES.items()
    ]
    beside = _run(server, rules)
    at_once, checking.AT_ONCE = checking.AT_ONCE, 1
    one_by_one = _run(server, rules)
    checking.AT_ONCE = at_once
    dump = work / "checks.dump"
    rmtree(dump, ignore_errors=True)
    command = [server.programs / "pg_dump", "-Fd", "-j2", "-Z1", "-t", "measurements", "-f", str(dump)]
    dumped = run_command([*command, server.url(DATABASE)])
    rmtree(dump)
    script = "import time; t = time.perf_counter(); import great_expectations; print(time.perf_counter() - t)"
    imported = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    suite = [{"type": kind, "kwargs": kwargs} for kind, kwargs in SUITE]
    given = {"kind": "expectations", "name": "rules", "connection": DATABASE, "table": "public.measurements"}
    suite_run = _run(server, [given | {"suite": suite, "timeout": 600}])
    server.drop(DATABASE)
    return Costs(rows, heap, beside, one_by_one, dumped.seconds, float(imported.stdout.splitlines()[-1]), suite_run)


def _run(server: Server, given: list[dict[str, Any]]) -> float:
    sealed = seal_checks(parse_checks(given), server.resolve)
    started = time.perf_counter()
    found = run_checks(sealed, "migration", server.resolve)
    seconds = time.perf_counter() - started
    if bad := [check for check in found if check.status.value != "passed"]:
        raise RuntimeError(f"a rule does not hold: {bad}")
    return seconds


def main() -> int:
    """Measures, prints a table, keeps the figures with machine and versions."""
    parser = argparse.ArgumentParser(prog="benchmarks.checks", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[400_000, 2_000_000], help="4,000 rows are a megabyte")
    parser.add_argument("--work", type=Path, default=Path(".work/benchmarks"), help="where server and dump lie")
    options = parser.parse_args()
    work: Path = options.work.resolve()
    with running_server(work / "postgres") as server:
        machine = machine_of(server)
        costs = [measure(server, work, rows) for rows in options.rows]
    table = Table(title="Ten checks of one table, s", title_justify="left")
    for heading in (
        "rows",
        "heap",
        "beside each other",
        "one by one",
        "pg_dump -Fd -j2 -Z1",
        "ratio",
        "GE import",
        "GE run",
    ):
        table.add_column(heading, justify="right")
    for each in costs:
        seconds = (each.beside, each.one_by_one, each.dump, each.beside / each.dump, each.suite_import, each.suite_run)
        table.add_row(f"{each.rows:,}", f"{each.heap / MEBIBYTE:,.0f} MB", *(f"{value:.2f}" for value in seconds))
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    RESULTS.mkdir(exist_ok=True)
    kept = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-checks.json"
    machine["great_expectations"] = version("great-expectations")
    figures = {"machine": machine, "checks": [asdict(each) for each in costs]}
    kept.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
