"""``python -m benchmarks.corpus``: exits with 0 only if every revision came back and went forward again."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.corpus.project import driver
from benchmarks.corpus.projects import PROJECTS
from benchmarks.corpus.walk import Result, Walk
from rollback_provider.components.postgres.embedded import running_server


def main(arguments: Sequence[str] | None = None) -> int:
    """Walks one project and returns the exit code."""
    parser = argparse.ArgumentParser(prog="corpus", description=__doc__)
    parser.add_argument("--project", choices=sorted(PROJECTS), default="mlflow")
    parser.add_argument("--only", nargs="+", default=(), metavar="REVISION", help="roll back these alone")
    parser.add_argument("--checkpoint", action="store_true", help="take a checkpoint after each upgrade")
    parser.add_argument(
        "--downgrades", action="store_true", help="try the project's own downgrades too, for comparison"
    )
    parser.add_argument(
        "--work", type=Path, default=Path(".work/corpus"), help="where environment, server and store lie"
    )
    parser.add_argument("--results", type=Path, help="file for the results as JSON, every difference in full")
    options = parser.parse_args(arguments)
    logging.getLogger("rollback_provider").setLevel(logging.ERROR)
    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(work / "stores", ignore_errors=True)
    project = PROJECTS[options.project]
    console = Console(width=None if sys.stdout.isatty() else 120)
    results: list[Result] = []
    with running_server(work / "postgres") as server, driver(project, work) as migrations:
        walk = Walk(
            server,
            migrations,
            project,
            f"file://{work}/stores",
            checkpoint=options.checkpoint,
            downgrades=options.downgrades,
        )
        with console.status("") as status:
            for result in walk.run(options.only):
                results.append(result)
                status.update(f"{len(results)} revisions, {sum(r.passed for r in results)} passed")
                if not result.passed:
                    console.print(f"{result.revision}: {_problem(result)}", markup=False, highlight=False)
    console.print(table(results))
    if empty := [result.revision for result in results if result.empty]:
        console.print(f"Without rows, which these migrations do not take as they were made up: {', '.join(empty)}")
    if options.results:
        options.results.write_text(json.dumps([asdict(result) for result in results], indent=2))
    return 0 if results and all(result.passed for result in results) else 1


def table(results: Sequence[Result]) -> Table:
    """A line per revision and the totals."""
    total = len(results)
    own = [result.downgrade for result in results if result.downgrade]

    def line(passed: int, of: int) -> str:
        return f"{passed} of {of}"

    shown = Table(show_footer=True)
    shown.add_column("revision", "total", no_wrap=True)
    shown.add_column("schema", line(sum(not r.schema for r in results), total))
    shown.add_column("rows", line(sum(not r.rows for r in results), total))
    shown.add_column("verified", line(sum(not r.error for r in results), total))
    shown.add_column("next upgrade", line(sum(not r.again for r in results), total))
    shown.add_column("seconds", f"{sum(r.seconds for r in results):.1f}", justify="right")
    if own:
        shown.add_column("own downgrade", line(sum(d.passed for d in own), len(own)))
        shown.add_column("upgrade after it", line(sum(not (d.error or d.again) for d in own), len(own)))
    for result in results:
        cells = map(_word, (result.schema, result.rows, result.error, result.again))
        down = result.downgrade
        extra = map(_word, (not down.passed, down.error or down.again) if down else ())
        shown.add_row(result.revision, *cells, f"{result.seconds:.2f}", *extra)
    return shown


def _word(problem: object) -> str:
    return "[bold red]no[/]" if problem else "ok"


def _problem(result: Result) -> str:
    return "\n  ".join([result.error, *result.schema[:3], *result.rows[:3], *result.again[:3]])[:2000]


if __name__ == "__main__":
    sys.exit(main())
