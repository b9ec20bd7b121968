"""The example on the page about checks, run: its declarations are sealed, hold, and name what does not."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from rollback_provider.core.errors import RollbackError
from rollback_provider.core.repository import Repository
from rollback_provider.core.verifier import verify_migration
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.operators import RollbackSnapshotOperator
from rollback_provider.store import SnapshotStore
from tests.airflow.test_accept import context
from tests.fix_postgres import Database

EXAMPLE = Path(__file__).parents[2] / "docs/examples/checked_migration.py"


def test_the_checks_hold_until_something_is_wrong(
    database: Database, memory_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"conn_type": "postgres", "host": database.socket, "login": "postgres", "schema": database.name}
    monkeypatch.setenv("AIRFLOW_CONN_ORDERS_DB", json.dumps(fields))
    database.run(
        "create table orders (id int primary key, total numeric, state text, note text);"
        "create table payments (order_id int references orders, amount numeric);"
        "insert into orders select i, i, 'paid' from generate_series(1, 500) i;"
        "insert into payments select id, total from orders; create index payments_by_order on payments (order_id); analyze"
    )
    checks = [
        check | {"tolerance": 100} if "tolerance" in check else check
        for check in runpy.run_path(str(EXAMPLE))["CHECKS"]
    ]
    component = {"kind": "postgres", "name": "orders", "connection": "orders_db"}
    task = RollbackSnapshotOperator(
        task_id="s", migration="m", components=[component], checks=checks, store=memory_store.url
    )
    snapshot_id = str(task.run_in(context("snapshot")))
    good = verify_migration(memory_store, snapshot_id, airflow_connections, actor="test").verification
    assert (good.status.value, good.score) == ("passed", 100), good.checks

    database.run(
        "delete from payments where order_id = 9; update orders set total = -1 where id = 3; drop index payments_by_order"
    )
    bad = verify_migration(memory_store, snapshot_id, airflow_connections, actor="test").verification
    named = " ".join(difference for check in bad.checks for difference in check.differences)
    assert bad.status.value == "failed"
    assert "id 9" in named
    assert "-1.0 is unexpected" in named
    assert "index public.payments_by_order of public.payments is gone" in named
    assert bad.summary == "5 checks: 3 failed, 2 passed"
    assert [made.verification.score for made in Repository(memory_store).verifications(snapshot_id)] == [100, 40]


def test_without_a_check_there_is_nothing_to_verify(database: Database, memory_store: SnapshotStore) -> None:
    from rollback_provider.core.capturer import take_snapshot
    from rollback_provider.core.model import ComponentSpec
    from tests.fix_progress import RecordedProgress

    spec = ComponentSpec(kind="postgres", name="db", connection=database.name)
    taken = take_snapshot(memory_store, "m", [spec], database.resolve, RecordedProgress(), actor="test")
    with pytest.raises(RollbackError, match="holds no check of the migration"):
        verify_migration(memory_store, taken.id, database.resolve, actor="test")
