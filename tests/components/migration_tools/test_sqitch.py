"""Sqitch's own revert as the first half of a rollback."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rollback_provider.components.postgres.embedded import Server
from rollback_provider.core.repository import Store
from tests.components.migration_tools.project import BACK, DOWN, FIRST, UP, Project
from tests.fix_postgres import Database

DEBIAN = Path(__file__).parents[3] / ".work" / "debian" / "usr"
SQITCH = str(DEBIAN / "bin" / "sqitch")
PERL = ":".join(
    map(str, [DEBIAN / "share" / "perl5", *(DEBIAN / "lib").glob("*/perl5/5.*"), *(DEBIAN / "lib").glob("*/perl/5.*")])
)
CONFIGURATION = """
[core]
    engine = pg
[engine "pg"]
    client = {psql}
[user]
    name = Test
    email = test@example.org
"""
PLAN = """%syntax-version=1.0.0
%project=shop

first 2026-01-01T00:00:00Z Test <test@example.org> # One
"""
SECOND = "second 2026-02-02T00:00:00Z Test <test@example.org> # Two\n"
DEPLOY = ("deploy", "--target", "db:pg:")


def _scripts(directory: Path, name: str, up: Sequence[str], down: Sequence[str]) -> None:
    for folder, statements in (("deploy", up), ("revert", down)):
        (directory / folder).mkdir(exist_ok=True)
        (directory / folder / f"{name}.sql").write_text("".join(f"{statement};\n" for statement in statements))


def test_everything_is_back_and_the_next_deploy_works(
    server: Server, database: Database, memory_store: Store, tmp_path: Path
) -> None:
    """The revert commits each statement and fails in the middle; its history is in another transaction."""
    (tmp_path / "sqitch.conf").write_text(CONFIGURATION.format(psql=server.programs / "psql"))
    (tmp_path / "sqitch.plan").write_text(PLAN)
    _scripts(tmp_path, "first", FIRST, [])
    _scripts(tmp_path, "second", UP, [*DOWN[:4], "select 1 / 0", *DOWN[4:]])
    connection = {"PGHOST": database.socket, "PGUSER": database.user, "PGDATABASE": database.name, "PERL5LIB": PERL}
    options = {"tool": "sqitch", "program": SQITCH, "environment": {"PERL5LIB": PERL}}
    project = Project(database, memory_store, tmp_path, options, connection)
    project.run(SQITCH, *DEPLOY)
    project.snapshot()
    (tmp_path / "sqitch.plan").write_text(PLAN + SECOND)
    project.run(SQITCH, *DEPLOY)
    project.checkpoint().application()
    plan = project.generate()
    assert plan.steps[0].script.endswith("sqitch revert -y --target db:pg: --to first")
    record = project.execute()
    assert "sqitch is at 000002 second" not in plan.steps[0].title
    assert "division by zero" in record.execution.steps[0].detail
    assert project.orders() == BACK
    project.verify()
    _scripts(tmp_path, "second", UP, DOWN)
    project.run(SQITCH, *DEPLOY)
    assert project.database.rows("select change from sqitch.changes order by committed_at") == [("first",), ("second",)]
