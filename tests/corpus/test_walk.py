"""A slice of the corpus: some of MLflow's migrations, each rolled back, compared, and run again."""

from __future__ import annotations

from pathlib import Path

from benchmarks.corpus.__main__ import main
from benchmarks.corpus.project import driver
from benchmarks.corpus.projects import MLFLOW
from benchmarks.corpus.walk import Result, Walk
from rollback_provider.components.postgres.embedded import Server
from rollback_provider.core.repository import Store

WORK = Path(__file__).parents[2] / ".work" / "corpus-test"
REVISIONS = (
    "451aebb31d03",  # the first: makes Alembic's own table, adds a column, replaces a primary key
    "90e64c465722",  # moves values into another table
    "181f10493468",  # adds a column that is part of the key
    "df50e92ffc5e",  # creates a table
    "7ac759974ad8",  # changes a type
    "89d4b8295536",  # creates a table from the rows of another
    "cfd24bdc0731",  # replaces a check
)
"""Eight migrations lead to the last of them; MLflow's own downgrades bring one of these seven back."""


class IdleWalk(Walk):
    """A walk whose rollbacks do nothing, and say that they went well."""

    def _roll_back(self, store: Store, snapshot_id: str, result: Result) -> None:
        pass


def test_migrations_of_mlflow_come_back_and_go_forward_again() -> None:
    assert main(["--work", str(WORK), "--only", *REVISIONS]) == 0


def test_a_rollback_that_did_nothing_does_not_pass(server: Server, tmp_path: Path) -> None:
    with driver(MLFLOW, WORK) as migrations:
        walk = IdleWalk(server, migrations, MLFLOW, f"file://{tmp_path}", checkpoint=False, downgrades=True)
        [result] = walk.run(["90e64c465722"])
    assert not result.passed
    assert result.schema == []
    assert any("alembic_version" in difference for difference in result.rows)
    assert any("tags" in difference for difference in result.rows)
    assert not result.again
    assert result.downgrade is not None
    assert not result.downgrade.passed
