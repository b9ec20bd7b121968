"""The demo's application and the count of its writes: what the demo's promise is measured with."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from rollback_provider.core.base import Json
from rollback_provider.demo.application import Application
from rollback_provider.demo.tally import count_writes, latencies, read_log
from tests.fix_postgres import Database

SCHEMA = Path(__file__).parents[2] / "dags" / "ecommerce" / "schema.sql"
FEW_ROWS = """
    insert into customers (email, name) select 'c' || n || '@example.com', 'C' from generate_series(1, 5) n;
    insert into products (sku, name, price) select 'p' || n, 'P', n from generate_series(1, 5) n;
    insert into orders (customer_id, total) select 1 + n % 5, n from generate_series(1, 1000) n;
"""


@pytest.fixture
def shop(database: Database) -> Database:
    """The shop's schema with few rows."""
    database.run(SCHEMA.read_text("utf-8") + FEW_ROWS)
    return database


@contextmanager
def writing(shop: Database, log: Path) -> Iterator[Application]:
    """Lets the application write until the block ends."""
    with log.open("w") as file:
        application = Application(shop.dsn, file)
        thread = threading.Thread(target=application.run)
        thread.start()
        try:
            yield application
        finally:
            application.stop.set()
            thread.join()


def writes_of(shop: Database, log: Path) -> list[Json]:
    """What the application writes in half a second."""
    with writing(shop, log):
        time.sleep(0.5)
    return read_log(log)


def test_every_acknowledged_write_is_present_although_the_schema_changes(shop: Database, tmp_path: Path) -> None:
    with writing(shop, tmp_path / "log") as application:
        for column, other in (("note", "customer_note"), ("customer_note", "note")):
            time.sleep(0.4)
            shop.run(f"alter table orders rename {column} to {other}")
        time.sleep(0.4)
    writes = read_log(tmp_path / "log")
    with shop.connect() as connection:
        tally = count_writes(connection, writes, ())
    assert application.errors["UndefinedColumn"] >= 2
    assert {write["kind"] for write in writes} == {"place", "pay", "edit"}
    assert tally.acknowledged == tally.present == len(writes) > 100
    assert tally.complete


def test_the_application_survives_a_closed_connection(shop: Database, tmp_path: Path) -> None:
    with writing(shop, tmp_path / "log") as application:
        time.sleep(0.3)
        shop.rows("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'shop'")
        time.sleep(0.3)
        before = len(read_log(tmp_path / "log"))
        time.sleep(0.3)
    writes = read_log(tmp_path / "log")
    with shop.connect() as connection:
        tally = count_writes(connection, writes, ())
    assert application.errors["AdminShutdown"] == 1
    assert len(writes) > before
    assert tally.complete


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("place", "update orders set note = 'other' where note = %s"),
        ("edit", "update orders set note = null where note = %s"),
        ("pay", "delete from payments where reference = %s"),
        ("pay", "update orders set status = 'placed' from payments where order_id = orders.id and reference = %s"),
    ],
)
def test_a_lost_write_is_named(shop: Database, tmp_path: Path, kind: str, damage: str) -> None:
    writes = writes_of(shop, tmp_path / "log")
    victim = next(write for write in writes if write["kind"] == kind)
    with shop.connect() as connection:
        assert connection.execute(damage.encode(), [victim["token"]]).rowcount == 1
        tally = count_writes(connection, writes, ())
    assert not tally.complete
    assert tally.present == tally.acknowledged - 1
    assert tally.missing == (f"{victim['token']} ({kind} {victim['id']})",)


def test_a_write_that_the_ledger_lists_is_not_lost(shop: Database, tmp_path: Path) -> None:
    writes = writes_of(shop, tmp_path / "log")
    edit = next(write for write in writes if write["kind"] == "edit")
    with shop.connect() as connection:
        connection.execute("update orders set note = 'other' where id = %s", [edit["id"]])
        elsewhere = {"scope": "public.payments", "key": {"id": str(edit["id"])}}
        listed = {"scope": "public.orders", "key": {"id": str(edit["id"])}}
        assert not count_writes(connection, writes, [elsewhere]).complete
        tally = count_writes(connection, writes, [listed])
    assert tally.complete
    assert (tally.present, tally.listed) == (tally.acknowledged - 1, 1)


def test_nothing_acknowledged_proves_nothing(shop: Database) -> None:
    with psycopg.connect(shop.dsn) as connection:
        assert not count_writes(connection, [], ()).complete


def test_latencies_and_a_log_whose_last_line_is_cut(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(f'{{"time": {n}, "ms": {n}.0}}\n' for n in range(1, 101)) + '{"time": 10')
    taken = latencies(read_log(tmp_path / "log"))
    assert (taken.count, taken.median, taken.p99, taken.worst) == (100, 51.0, 100.0, 100.0)
