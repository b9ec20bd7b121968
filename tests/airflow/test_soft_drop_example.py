"""The examples on the page about soft drops, run."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from rollback_provider.components.postgres.reserved import DropRecord
from rollback_provider.hooks import rollback_store
from rollback_provider.hooks.rollback_store import RollbackStoreHook
from rollback_provider.operators import RollbackSnapshotOperator
from rollback_provider.store import SnapshotStore
from tests.airflow.test_accept import context
from tests.fix_postgres import Database

EXAMPLES = Path(__file__).parents[2] / "docs/examples"


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
    runpy.run_path(str(EXAMPLES / "soft_drop.py"))["migrate"].function(snapshot_id)
    assert soft_dropped(database) == ["legacy_code", "promotions"]


def test_the_script_runs(
    database: Database, snapshot_id: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And what may have been dropped for good is named."""
    script = tmp_path / "migration.sql"
    script.write_text(
        "alter table orders drop column legacy_code; drop table promotions; do $$ begin drop view if exists x; end $$"
    )
    runpy.run_path(str(EXAMPLES / "soft_drop_script.py"))["migrate"].function(snapshot_id, script)
    assert soft_dropped(database) == ["legacy_code", "promotions"]
    assert "No soft drop: do $$ begin drop view if exists x; end $$: a DO block" in caplog.text


def soft_dropped(database: Database) -> list[str]:
    """The names of what is soft-dropped."""
    comments = database.rows("select description from pg_description where description like '{\"softDrop\"%'")
    return sorted(record.name for (comment,) in comments if (record := DropRecord.from_comment(comment)))
