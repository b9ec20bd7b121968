"""The operator that accepts migrations."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from rollback_provider.components.postgres.soft_drop import soft_drop_table
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.repository import Repository
from rollback_provider.operators import RollbackAcceptOperator, RollbackSnapshotOperator
from rollback_provider.store import SnapshotStore
from tests.fix_postgres import Database


def context(task_id: str) -> dict[str, Any]:
    """What Airflow hands to a task, as far as operators look at it."""
    return {"ti": SimpleNamespace(dag_id="orders", run_id="manual__1", task_id=task_id, map_index=-1)}


@pytest.fixture
def snapshot_id(database: Database, memory_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """A snapshot of a database whose migration has soft-dropped a table."""
    fields = {"conn_type": "postgres", "host": database.socket, "login": "postgres", "schema": database.name}
    monkeypatch.setenv("AIRFLOW_CONN_ACCEPT_DB", json.dumps(fields))
    database.run("create table t (id int)")
    component = {"kind": "postgres", "name": "db", "connection": "accept_db"}
    task = RollbackSnapshotOperator(task_id="s", migration="m", components=[component], store=memory_store.url)
    snapshot_id = str(task.run_in(context("snapshot")))
    with database.connect(options=f"-c rollback.snapshot={snapshot_id}") as connection:
        soft_drop_table(connection, "t")
    return snapshot_id


@pytest.mark.parametrize("by_age", [False, True])
def test_it_accepts_and_gives_ids(
    snapshot_id: str,
    database: Database,
    memory_store: SnapshotStore,
    capsys: pytest.CaptureFixture[str],
    *,
    by_age: bool,
) -> None:
    what: dict[str, Any] = {"older_than": timedelta()} if by_age else {"snapshot_id": snapshot_id}
    tables = "select count(*) from pg_tables where schemaname = 'public'"
    dry = RollbackAcceptOperator(task_id="a", store=memory_store.url, dry_run=True, **what)
    assert dry.run_in(context("a")) == [snapshot_id]
    assert "Would drop for good: db table public.t" in capsys.readouterr().out
    assert database.rows(tables) == [(1,)]
    assert RollbackAcceptOperator(task_id="a", store=memory_store.url, **what).run_in(context("a")) == [snapshot_id]
    assert database.rows(tables) == [(0,)]
    acceptance = Repository(memory_store).acceptance(snapshot_id)
    assert acceptance
    assert acceptance.actor == "airflow orders/manual__1/a"


@pytest.mark.parametrize("what", [{}, {"snapshot_id": "x", "older_than": timedelta(days=1)}])
def test_it_needs_to_know_what(memory_store: SnapshotStore, what: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="either"):
        RollbackAcceptOperator(task_id="a", store=memory_store.url, **what).run_in(context("a"))
