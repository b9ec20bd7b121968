"""``python -m benchmarks.rehearsal``: how long a rollback takes, as two samples say it beforehand, and as it then is."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks import large_table
from benchmarks.__main__ import MEBIBYTE, RESULTS, machine_of
from benchmarks.job import Quiet
from benchmarks.writer import Writer
from rollback_provider.components.postgres.embedded import Server, running_server
from rollback_provider.components.postgres.migration import observe
from rollback_provider.core.capturer import take_snapshot
from rollback_provider.core.executor import execute
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.planner import generate
from rollback_provider.core.rehearsal.model import Expected
from rollback_provider.core.verifier import verify
from rollback_provider.rehearsal import run_rehearsal
from rollback_provider.store import SnapshotStore, open_store

DATABASE = "rehearsed"
SHARES = (0.1, 0.5)
RUNS = 3
ALTER = ("measurements", "settings")
ACTOR = "benchmark"


@dataclass(frozen=True)
class Measured:
    """One size.

    :param rehearsing: seconds that the rehearsal took
    :param expected: planning and execution together, as the rehearsal says
    :param took: the same, of real rollbacks
    :param phases: by name, both ways, and verification besides
    """

    rows: int
    heap: int
    rehearsing: float
    expected: Expected
    took: list[float]
    phases: dict[str, tuple[Expected, float]]

    @property
    def off(self) -> float:
        """By how much the rollbacks took longer, in the median, as a share of what was expected."""
        return median(self.took) / self.expected.p50 - 1


def measure(server: Server, work: Path, rows: int) -> Measured:
    """Rehearses on two samples, then migrates the database itself and takes it back, each time anew; an application writes all the time."""
    large_table.create(server, DATABASE, rows)
    heap = large_table.heap_bytes(server, DATABASE)
    folder = work / "rehearsal"
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    script = folder / "migration.sql"
    script.write_text(";\n".join(large_table.MIGRATION))
    store = open_store((folder / "store").as_uri())
    spec = ComponentSpec(kind="postgres", name="measurements", connection=DATABASE)
    snapshot_id = take_snapshot(store, "benchmark", [spec], server.resolve, Quiet(), actor=ACTOR).id
    started = time.perf_counter()
    rehearsal = run_rehearsal(
        store,
        snapshot_id,
        {"sql": [str(script)], "alter": ALTER},
        Quiet(),
        actor=ACTOR,
        scratch=server.connection(f"{DATABASE}_copy"),
        size="sampled",
        runs=RUNS,
        shares=SHARES,
    )
    rehearsing = time.perf_counter() - started
    if rehearsal.estimate is None or not rehearsal.proven:
        raise RuntimeError(f"the rehearsal has not gone well: {rehearsal.trials}")
    real = [_real(server, store, spec, rows) for _ in range(RUNS)]
    server.drop(DATABASE)
    expected = rehearsal.estimate
    phases = {name: (expected.phases[name], median(each[name] for each in real)) for name in expected.phases}
    took = [each["generate"] + each["execute"] for each in real]
    return Measured(rows, heap, rehearsing, expected.rollback, took, phases)


def _real(server: Server, store: SnapshotStore, spec: ComponentSpec, rows: int) -> dict[str, float]:
    resolve = server.resolve
    large_table.create(server, DATABASE, rows)
    snapshot_id = take_snapshot(store, "benchmark", [spec], resolve, Quiet(), actor=ACTOR).id
    seconds: dict[str, float] = {}

    def timed(name: str, began: float) -> None:
        seconds[name] = time.perf_counter() - began

    with Writer(server.dsn(DATABASE), rows):
        with observe(store, snapshot_id, "measurements", resolve, Quiet(), actor=ACTOR, alter=ALTER) as connection:
            connection.execute(";\n".join(large_table.MIGRATION).encode())
        began = time.perf_counter()
        rollback_id = generate(store, snapshot_id, resolve, Quiet(), actor=ACTOR).rollback_id
        timed("generate", began)
        began = time.perf_counter()
        execute(store, rollback_id, resolve, Quiet(), actor=ACTOR)
        timed("execute", began)
    began = time.perf_counter()
    status = verify(store, rollback_id, resolve, Quiet(), actor=ACTOR).execution.status
    timed("verify", began)
    if status != "verified":
        raise RuntimeError(f"the rollback is {status}")
    return seconds


def table_of(measured: Sequence[Measured]) -> Table:
    """The figures, size by size."""
    table = Table(
        title=f"Rollback, expected from samples of {SHARES[0]:.0%} and {SHARES[1]:.0%}, s", title_justify="left"
    )
    for heading in ("rows", "heap", "expected", "from", "to", "took", "from", "to", "off by", "the rehearsal took"):
        table.add_column(heading, justify="right")
    for each in measured:
        expected = each.expected
        seconds = (expected.p50, expected.low or 0.0, expected.high or 0.0)
        seconds += (median(each.took), min(each.took), max(each.took))
        table.add_row(
            f"{each.rows:,}",
            f"{each.heap / MEBIBYTE:,.0f} MB",
            *(f"{value:.1f}" for value in seconds),
            f"{each.off:+.0%}",
            f"{each.rehearsing:.0f}",
        )
    return table


def main() -> int:
    """Measures, prints a table, keeps the figures with machine and versions."""
    parser = argparse.ArgumentParser(prog="benchmarks.rehearsal", description=__doc__)
    rows = [250_000, 1_000_000, 2_500_000]
    parser.add_argument("--rows", type=int, nargs="+", default=rows, help="4,000 rows are a megabyte")
    parser.add_argument("--work", type=Path, default=Path(".work/benchmarks"), help="where server and store lie")
    options = parser.parse_args()
    work: Path = options.work.resolve()
    console = Console(width=None if sys.stdout.isatty() else 140)
    with running_server(work / "postgres") as server:
        machine = machine_of(server)
        measured: list[Measured] = []
        for rows in options.rows:
            measured.append(measure(server, work, rows))
            console.print(table_of(measured))
    RESULTS.mkdir(exist_ok=True)
    kept = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-rehearsal.json"
    sizes = [asdict(each) | {"expected": each.expected.model_dump()} for each in measured]
    for size in sizes:
        size["phases"] = {name: [each.model_dump(), real] for name, (each, real) in size["phases"].items()}
    kept.write_text(
        json.dumps({"machine": machine, "shares": SHARES, "runs": RUNS, "rehearsal": sizes}, indent=2) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
