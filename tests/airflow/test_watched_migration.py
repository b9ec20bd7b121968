"""The sample that watches its users, with a real shop that stands on the database and a real Prometheus that looks at the shop."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from rollback_provider.core.record import load_record
from rollback_provider.core.repository import Repository
from rollback_provider.probes import measure_now, parse_probe
from rollback_provider.store import open_store
from tests.fix_airflow import Run
from tests.fix_postgres import Database
from tests.fix_prometheus import Prometheus
from tests.parts import answers, free_port, running

OLD = "select sum(total) from orders"
NEW = "select sum(coalesce(to_jsonb(o) ->> 'amount', to_jsonb(o) ->> 'total')::int) from orders o"


@pytest.fixture
def migrate(
    run_dag: Callable[..., Run],
    dags: Callable[[str], Any],
    database: Database,
    prometheus: Prometheus,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Callable[[str], Run]:
    """Runs the migration while a shop whose checkout is this query stands on its database, in a hurry."""
    database.run("create table orders (id int primary key, total int); insert into orders values (1, 5), (2, 7)")
    watch, go = (dags("watched_migration").get_task(name) for name in ("watch", "go_no_go"))
    monkeypatch.setattr(watch, "bake", timedelta(seconds=3))
    monkeypatch.setattr(watch, "interval", timedelta(seconds=0.3))
    for task, name in ((watch, "conditions"), (go, "criteria")):
        monkeypatch.setattr(task, name, json.loads(json.dumps(getattr(task, name)).replace("[1m]", "[2s]")))

    def connect(connection_id: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{connection_id.upper()}", json.dumps(fields))

    def migrate(checkout: str) -> Run:
        with shop(database, checkout, tmp_path) as port:
            prometheus.scrape(port)
            connect("shop_db", conn_type="postgres", host=database.socket, login=database.user, schema=database.name)
            connect("prometheus", conn_type="http", host="127.0.0.1", port=prometheus.port)
            connect("shop_site", conn_type="http", host="127.0.0.1", port=port)
            connect("rollback_store_default", conn_type="rollback_store", host=f"file://{tmp_path}/store")
            until_known(prometheus, f'rate(shop_errors_total{{instance="127.0.0.1:{port}"}}[2s])')
            run = run_dag("watched_migration", {})
            assert httpx.get(f"http://127.0.0.1:{port}/checkout").is_success
            return run

    return migrate


@contextmanager
def shop(database: Database, checkout: str, folder: Path) -> Iterator[int]:
    """An open shop; gives its port."""
    port = free_port()
    command = [sys.executable, "-m", "tests.parts.shop", str(port), database.dsn, checkout]
    with running(command, lambda: answers(port), folder / "shop.log"):
        yield port


def until_known(prometheus: Prometheus, query: str) -> None:
    """Waits until Prometheus can answer."""
    probe = parse_probe({"kind": "prometheus", "connection": "prometheus", "query": query})
    deadline = time.monotonic() + 60
    while measure_now(probe, lambda _: prometheus.connection).value is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_shop_that_fails_takes_the_migration_back(
    migrate: Callable[[str], Run], database: Database, tmp_path: Path
) -> None:
    run = migrate(OLD)
    assert {run.states[name] for name in ("go_no_go", "migrate", "verify_migration")} == {"success"}
    assert run.states["watch"] == "failed"
    assert (run.state, run.xcom("outcome", "outcome")) == ("failed", "ROLLED_BACK")
    assert database.rows("select id, total from orders order by id") == [(1, 5), (2, 7)]

    store = open_store(f"file://{tmp_path}/store")
    (decision,) = Repository(store).decisions(run.xcom("snapshot"))
    names = [
        "snapshot is fresh",
        "snapshot is whole",
        "quiet",
        "free space of the store",
        "errors per second",
        "checkout",
    ]
    assert (decision.go, [check.name for check in decision.checks]) == (True, names)
    record = load_record(store, run.xcom("rollback.generate"))
    cause = record.cause
    assert cause
    assert cause.source == "watch"
    assert run.xcom("watch", "rollback_cause") == cause.to_json()
    errors, checkout = cause.signals
    assert (errors.limits, errors.statement) == ("at most 0.5", "sum(rate(shop_errors_total[2s]))")
    assert checkout.bad
    assert [reading.value for reading in checkout.readings[-3:]] == [500, 500, 500]
    assert "checkout was 500 at the end of 3 measurements in a row" in cause.what
    (impact,) = cause.impact
    assert impact.readings[0].value


def test_a_shop_that_is_ready_for_it_keeps_the_migration(migrate: Callable[[str], Run], database: Database) -> None:
    run = migrate(NEW)
    assert (run.state, run.xcom("outcome", "outcome")) == ("success", "MIGRATED")
    assert {run.states[name] for name in ("rollback.generate", "rollback.execute", "rollback.verify")} == {"skipped"}
    assert database.rows("select id, amount from orders order by id") == [(1, 5), (2, 7)]
    errors, checkout = run.xcom("watch")
    assert {reading["value"] for reading in checkout["readings"]} == {200}
    assert {reading["value"] for reading in errors["readings"]} == {0}
    assert len(errors["readings"]) > 3
