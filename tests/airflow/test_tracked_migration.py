"""A guarded migration that commits as it goes and is tracked, run by Airflow itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from signal import SIGKILL

import pytest

from rollback_provider.core.capturer import take_snapshot
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.record import load_record
from rollback_provider.core.repository import Repository
from rollback_provider.core.tracking import begin_tracking, end_tracking
from rollback_provider.store import SnapshotStore
from tests.fix_airflow import Run
from tests.fix_postgres import Database
from tests.fix_progress import RecordedProgress


def ended(run: Run) -> tuple[str, str | None]:
    """The run's state, and its outcome."""
    return run.state, run.xcom("outcome", "outcome")


def test_a_tracked_migration_that_is_killed_is_taken_back_and_applications_are_not(
    run_dag: Callable[..., Run], memory_store: SnapshotStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.run(
        "create table orders (id int primary key, total int); insert into orders values (1, 10), (2, 20), (3, 30)"
    )
    fields = {"conn_type": "postgres", "host": database.socket, "login": "postgres", "schema": database.name}
    monkeypatch.setenv("AIRFLOW_CONN_ORDERS_DB", json.dumps(fields))
    run = run_dag("tracked", {"store": memory_store.url, "dsn": database.dsn})
    assert ended(run) == ("failed", "ROLLED_BACK")
    assert database.rows("select * from orders order by id") == [(1, 10), (2, 20), (3, 31)]
    record = load_record(memory_store, run.xcom("rollback.verify"))
    assert record.attribution == "triggers"
    assert not database.rows("select from pg_namespace where nspname = 'rollback_tracking'")


@pytest.fixture
def begun(
    run_dag: Callable[..., Run], file_store: SnapshotStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """A run that tracks its migration, and whose first try could not reach the database, which is there now."""
    monkeypatch.setenv("AIRFLOW_CONN_ORDERS_DB", json.dumps({"conn_type": "postgres", "host": "/nowhere"}))
    run = run_dag("tracked", {"store": file_store.url, "dsn": database.dsn})
    assert (run.state, run.states["snapshot"]) == ("failed", "failed")
    database.run(
        "create table orders (id int primary key, total int); insert into orders values (1, 1), (2, 2), (3, 3)"
    )
    fields = {"conn_type": "postgres", "host": database.socket, "login": "postgres", "schema": database.name}
    monkeypatch.setenv("AIRFLOW_CONN_ORDERS_DB", json.dumps(fields))
    return run


def test_a_worker_that_is_killed_when_tracking_has_begun_is_followed_by_another(
    begun: Run, file_store: SnapshotStore, database: Database
) -> None:
    """Nobody was told of its snapshot, so the next try ends what it tracks, and takes another."""
    worker = [sys.executable, "-m", "tests.airflow.killed_snapshot", begun.dag_run.run_id, file_store.url]
    assert subprocess.run(worker, check=False).returncode == -SIGKILL
    (forgotten,) = Repository(file_store).snapshot_ids()
    assert [each.attribution for each in Repository(file_store).checkpoints(forgotten)] == ["tracking"]

    run = begun.clear("snapshot")
    assert ended(run) == ("failed", "ROLLED_BACK")
    assert run.xcom("snapshot") != forgotten
    assert database.rows("select * from orders order by id") == [(1, 1), (2, 2), (3, 31)]
    assert load_record(file_store, run.xcom("rollback.verify")).attribution == "triggers"
    assert not database.rows("select from pg_namespace where nspname = 'rollback_tracking'")


def test_what_another_run_tracks_is_left_alone(
    begun: Run, file_store: SnapshotStore, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = ComponentSpec(kind="postgres", name="orders", connection="orders_db")
    how, actor = (lambda _: database.connection, RecordedProgress()), "airflow tracked/another/snapshot"
    theirs = take_snapshot(file_store, "orders", [spec], *how, actor=actor)
    begin_tracking(file_store, theirs.id, *how, actor=actor)

    run = begun.clear("snapshot")
    assert (run.state, run.states["snapshot"]) == ("failed", "failed")
    assert f"Another migration is tracked in this database, that of snapshot {theirs.id}" in capfd.readouterr().out
    assert database.rows("select * from orders order by id") == [(1, 1), (2, 2), (3, 3)]
    (checkpoint,) = Repository(file_store).checkpoints(theirs.id)
    assert checkpoint.attribution == "tracking"
    assert end_tracking(file_store, theirs.id, *how, actor="test").attribution == "triggers"
