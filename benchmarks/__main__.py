"""``python -m benchmarks``: measures, prints tables, keeps figures, machine and versions in ``benchmarks/results``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.compare_tools import Comparison, compare
from benchmarks.coordination import Coordination, coordinate
from benchmarks.imports import import_costs
from benchmarks.tracking import writing_costs
from rollback_provider.components.postgres.embedded import Server, running_server

RESULTS = Path(__file__).parent / "results"
MEBIBYTE = 1024 * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmarks. Figures are for reading: a missed target is shown, and is no error."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[400_000, 5_000_000], help="4,000 rows are a megabyte")
    parser.add_argument("--work", type=Path, default=Path(".work/benchmarks"), help="where server, store and dump lie")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)
    work: Path = options.work.resolve()
    with running_server(work / "postgres") as server:
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            connection.execute("alter system set max_wal_size = '8GB'")
            connection.execute("select pg_reload_conf()")
        machine = machine_of(server)
        with console.status("") as status:
            comparisons = [
                compare(server, work, rows, lambda what, rows=rows: status.update(f"{rows:,} rows: {what}"))  # type: ignore[misc]
                for rows in options.rows
            ]
            status.update("writing to tracked tables")
            writing = writing_costs(server)
            status.update("imports")
            imports = import_costs()
            status.update("coordination")
            coordination = coordinate()
    for comparison in comparisons:
        console.print(ratios(comparison))
    console.print(memory(comparisons))
    console.print(_writing(writing))
    console.print(_imports(imports))
    console.print(coordinated(coordination))
    RESULTS.mkdir(exist_ok=True)
    kept = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    figures = {"machine": machine, "comparisons": [asdict(each) for each in comparisons], "imports": imports}
    figures |= {"coordination": asdict(coordination), "writing": writing}
    kept.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    console.print(f"Kept in {kept}")
    return 0


def ratios(of: Comparison) -> Table:
    """Our figures against the tools' figures, with the targets."""
    table = Table(title=f"{of.rows:,} rows, {of.heap / MEBIBYTE:,.0f} MB heap", title_justify="left")
    for heading in ("what", "ours", "against", "theirs", "ratio", "target"):
        table.add_column(heading, justify="left" if heading in {"what", "against"} else "right")
    rollback = of.generate.seconds + of.execute.seconds
    before, during = of.before, of.during

    def line(what: str, ours: float, against: str, theirs: float, target: float, unit: str = "s") -> None:
        ratio = ours / theirs if theirs else float("inf")
        style = "green" if ratio <= target else "red"
        table.add_row(
            what, f"{ours:,.2f} {unit}", against, f"{theirs:,.2f} {unit}", f"[{style}]{ratio:.2f}[/]", f"{target:g}"
        )

    line("snapshot", of.snapshot.seconds, "pg_dump -Fd -j2 -Z1", of.dump.seconds, 0.7)
    line("its size", of.snapshot_size / MEBIBYTE, "the dump's", of.dump_size / MEBIBYTE, 0.8, "MB")
    line("second snapshot, 0.1 % of rows changed", of.second.seconds, "pg_dump", of.dump.seconds, 0.1)
    line("checkpoint", of.checkpoint.seconds, "pg_dump", of.dump.seconds, 0.1)
    line("rollback (generate, execute)", rollback, "pg_restore --clean -j2", of.restore.seconds, 0.1)
    line("  of it execute", of.execute.seconds, "pg_restore", of.restore.seconds, 0.1)
    line("verify", of.verify.seconds, "pg_dump", of.dump.seconds, 0.45)
    line("application's p99, rolling back", during.p99, "before", before.p99, 3, "ms")
    line("longest time without a write", during.gap, "while pg_restore ran", of.restore_during.gap, 0.1)
    table.caption = (
        f"application's worst write while rolling back: {during.worst:,.0f} ms; "
        f"errors {during.errors}, while pg_restore ran {of.restore_during.errors}"
    )
    return table


def memory(comparisons: Sequence[Comparison]) -> Table:
    """Peak memory of each operation at each size: it should not grow with the data."""
    table = Table(title="Peak memory, MB, all our processes", title_justify="left")
    table.add_column("operation")
    for each in comparisons:
        table.add_column(f"{each.heap / MEBIBYTE:,.0f} MB heap", justify="right")
    for name in ("snapshot", "second", "checkpoint", "generate", "execute", "verify"):
        table.add_row(name, *(f"{getattr(each, name).peak / MEBIBYTE:,.0f}" for each in comparisons))
    return table


def coordinated(measured: Coordination) -> Table:
    """Time of a rollback of many components."""
    table = Table(title=f"{measured.components} components of 1 s each, half of them independent")
    for column in ("execute", "longest path", "one by one"):
        table.add_column(column, justify="right")
    table.add_row(*(f"{each:.1f} s" for each in (measured.seconds, measured.longest_path, measured.one_by_one)))
    return table


def _writing(costs: dict[str, dict[str, float]]) -> Table:
    table = Table(
        title="Writing one row, median microseconds, against a table that is not tracked", title_justify="left"
    )
    table.add_column("who writes")
    for heading in ("one row a transaction", "ratio", "many rows a statement", "ratio"):
        table.add_column(heading, justify="right")
    plain = costs["not tracked"]
    for who, cost in costs.items():
        figures = ((f"{cost[how]:,.1f}", f"{cost[how] / plain[how]:.2f}") for how in ("single", "bulk"))
        table.add_row(who, *(part for pair in figures for part in pair))
    return table


def _imports(costs: dict[str, float]) -> Table:
    table = Table(title="Importing what a DAG file needs, median", title_justify="left")
    table.add_column("import")
    table.add_column("seconds", justify="right")
    table.add_column("target", justify="right")
    for name, seconds in costs.items():
        table.add_row(name, f"{seconds:.3f}", "0.3" if name == "rollback_provider" else "")
    return table


def machine_of(server: Server) -> dict[str, object]:
    """Machine and versions, for the results."""
    with psycopg.connect(server.dsn("postgres")) as connection:
        [(postgres,)] = connection.execute("select version()").fetchall()
    return {
        "processors": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.platform(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "postgres": postgres,
        "packages": {name: version(name) for name in ("apache-airflow", "asyncpg", "psycopg", "obstore", "zstandard")},
    }


if __name__ == "__main__":
    sys.exit(main())
