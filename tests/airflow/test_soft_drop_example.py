"""The examples on the page about soft drops, run."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from rollback_provider.hooks import rollback_store
from rollback_provider.hooks.rollback_store import RollbackStoreHook
from rollback_provider.operators import RollbackSnapshotOperator
from rollback_provider.store import SnapshotStore
from tests.airflow.test_accept import context
from tests.fix_postgres import Database

EXAMPLE = Path(__file__).parents[2] / "docs/examples/soft_drop.py"


@pytest.fixture
def snapshot_id(database: Database, memory_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """A snapshot of the database that the example migrates."""
    fields = {"conn_type": "postgres", "host": database.socket, "login": "postgres", "schema": database.name}
    monkeypatch.setenv("AIRFLOW_CONN_ORDERS_DB", json.dumps(fields))
    monkeypatch.setattr(RollbackStoreHook, "get_conn", lambda _: memory_store)
    monkeypatch.setattr(rollback_store, "get_current_context", lambda: context("migrate"))
    database.run(
        "create table orders (id int primary key, legacy_code text not null); create table promotions (id int)"
    )
    component = {"kind": "postgres", "name": "orders", "connection": "orders_db"}
    task = RollbackSnapshotOperator(task_id="s", migration="m", components=[component], store=memory_store.url)
    return str(task.run_in(context("snapshot")))


def test_the_migration_runs(database: Database, snapshot_id: str) -> None:
    """What it soft-drops is gone for applications, and there."""
    runpy.run_path(str(EXAMPLE))["migrate"].function(snapshot_id)
    tables = database.rows(
        "select relname, oid::int from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by 1"
    )
    assert [name for name, _ in tables] == ["orders", f"rollback_dropped_{tables[1][1]}_promotions"]
    assert database.rows("select attname from pg_attribute where attrelid = 'orders'::regclass and attnum = 2") == [
        ("rollback_dropped_2_legacy_code",)
    ]
