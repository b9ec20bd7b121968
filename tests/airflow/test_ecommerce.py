"""The sample migration on a real PostgreSQL: its own rule finds the mistake, and the database is as it was."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fix_airflow import ROOT, Run
from tests.fix_postgres import Database

ROWS = """
insert into customers (email, name) select n || '@example.com', 'Customer ' || n from generate_series(1, 20) n;
insert into products (sku, name, price) select 'SKU-' || n, 'Product ' || n, n from generate_series(1, 20) n;
insert into promotions select 'PROMO-' || n, n, 10, '2026-01-01', '2026-02-01' from generate_series(1, 20) n;
insert into orders (customer_id, status, total, note, legacy_code)
    select 1 + n % 20, 'paid', n, 'note ' || n, 'L-' || n from generate_series(1, 500) n;
insert into payments (order_id, amount, method, reference) select id, total, 'card', 'PAY-' || id from orders;
"""
TABLES = ("customers", "products", "promotions", "orders", "order_items", "payments")


def contents(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, whatever the order of its columns."""
    return {table: database.rows(f"select to_jsonb(t)::text from {table} t order by 1") for table in TABLES}


def end_first_migration(database: Database) -> None:
    """Ends the first session that holds the lock of an ALTER on the orders, as PostgreSQL ends one of two in a deadlock."""
    query = """select pg_terminate_backend(pid) from pg_locks
        where relation = 'orders'::regclass and mode = 'AccessExclusiveLock' and granted"""
    with database.connect() as connection:
        deadline = time.monotonic() + 60
        while not connection.execute(query).fetchall():
            assert time.monotonic() < deadline, "nothing migrates"
            time.sleep(0.005)


def test_the_sample_migration_takes_itself_back(
    run_dag: Callable[..., Run], database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database.run((ROOT / "dags/ecommerce/schema.sql").read_text("utf-8") + ROWS)
    before = contents(database)
    address = {"host": database.socket, "login": database.user, "schema": database.name}
    monkeypatch.setenv("AIRFLOW_CONN_ECOMMERCE_DB", json.dumps({"conn_type": "postgres"} | address))
    store = {"conn_type": "rollback_store", "host": f"file://{tmp_path}/store"}
    monkeypatch.setenv("AIRFLOW_CONN_ROLLBACK_STORE_DEFAULT", json.dumps(store))
    with ThreadPoolExecutor() as pool:
        interrupted = pool.submit(end_first_migration, database)
        run = run_dag("ecommerce_migration", {})
        interrupted.result()
    assert run.tries["migrate"] == 2
    assert run.states["migrate"] == "success"
    assert run.states["verify_migration"] == "failed"
    assert (run.state, run.xcom("outcome", "outcome")) == ("failed", "ROLLED_BACK")
    assert contents(database) == before
