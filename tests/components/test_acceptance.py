"""Accepting a migration drops for good what it has soft-dropped, once, and never under a rollback."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from rollback_provider.components.postgres import session
from rollback_provider.components.postgres.applying.applier import Applier
from rollback_provider.components.postgres.component import PostgresComponent
from rollback_provider.components.postgres.soft_drop import soft_drop_column, soft_drop_table
from rollback_provider.core.acceptance import AcceptReport, accept, accept_older, list_soft_drops, systems_of
from rollback_provider.core.errors import BusyError, ComponentError, ConfigurationError, LockedError, NotFoundError
from rollback_provider.core.executor import abandon
from rollback_provider.core.model import SoftDrop, utcnow
from rollback_provider.core.repository import Repository, Store
from tests.components.fix.ddl_cases import part
from tests.components.fix.schema_text import schema_text
from tests.components.scenario import Scenario
from tests.fix_postgres import Database

SETUP = part("shop") + "create table extra (id serial primary key, a text unique); insert into extra (a) values ('x');"


@pytest.fixture
def scenario(database: Database, memory_store: Store) -> Scenario:
    """A database whose migration has soft-dropped a column and a table."""
    scenario = Scenario(database, memory_store).begin(SETUP)
    with scenario.observed() as connection:
        soft_drop_column(connection, "orders", "note")
        soft_drop_table(connection, "extra")
    return scenario


def accepted(scenario: Scenario, **options: Any) -> AcceptReport:
    """Accepts the scenario's migration."""
    resolve, progress = scenario.database.resolve, scenario.progress
    return accept(scenario.store, scenario.snapshot_id, resolve, progress, actor="ada", **options)


def accepted_older(scenario: Scenario, age: timedelta, **options: Any) -> AcceptReport:
    """Accepts what is old enough."""
    resolve, progress = scenario.database.resolve, scenario.progress
    return accept_older(scenario.store, utcnow() - age, resolve, progress, actor="ada", **options)


def dropped(scenario: Scenario) -> list[SoftDrop]:
    """What is soft-dropped in all systems of the store."""
    return list_soft_drops(systems_of(scenario.store), scenario.database.resolve)


def test_what_is_soft_dropped_is_listed(scenario: Scenario) -> None:
    """With its own name, its age, its size, and the snapshot to which it belongs."""
    scenario.database.run("analyze orders")
    found = {drop.scope: drop for drop in dropped(scenario)}
    assert set(found) == {"public.orders.note", "public.extra"}
    assert {drop.snapshot_id for drop in found.values()} == {scenario.snapshot_id}
    assert all(utcnow() - drop.time < timedelta(minutes=10) for drop in found.values())
    table = found["public.extra"]
    assert (table.kind, table.size) == (
        "table",
        scenario.rows(f"select pg_total_relation_size('{table.address[1]}')")[0][0],
    )
    assert found["public.orders.note"].address == ("public", "orders", "rollback_dropped_5_note")


def test_sizes_of_columns_come_from_statistics(scenario: Scenario) -> None:
    """As far as there are any."""
    scenario.begin(
        "create table wide (id int primary key, v text); insert into wide select n, repeat('x', 100) from generate_series(1, 100) n; analyze wide"
    )
    with scenario.observed() as connection:
        soft_drop_column(connection, "wide", "v")
    (wide,) = (drop for drop in dropped(scenario) if drop.name == "v")
    assert wide.size
    assert 100 * 100 <= wide.size <= 110 * 100


def test_accepting_drops_for_good(scenario: Scenario, make_database: Callable[[], Database]) -> None:
    """The schema is the one that real drops would have left; the decision is in the store; doing it again is no error."""
    assert [drop.scope for drop in accepted(scenario, dry_run=True).dropped] == ["public.orders.note", "public.extra"]
    assert len(dropped(scenario)) == 2
    assert Repository(scenario.store).acceptance(scenario.snapshot_id) is None
    report = accepted(scenario)
    assert (report.snapshots, len(report.dropped)) == ((scenario.snapshot_id,), 2)
    acceptance = Repository(scenario.store).acceptance(scenario.snapshot_id)
    assert acceptance
    assert (acceptance.actor, acceptance.dropped) == ("ada", report.dropped)
    judge = make_database()
    judge.run(SETUP + "drop table extra; alter table orders drop note")
    assert schema_text(scenario.database) == schema_text(judge)
    assert accepted(scenario).dropped == ()
    assert Repository(scenario.store).acceptance(scenario.snapshot_id) == acceptance


def test_an_accepted_migration_can_still_be_taken_back(database: Database, memory_store: Store) -> None:
    """From the snapshot's data; the plan says that the drop was for good."""
    scenario = Scenario(database, memory_store).begin(SETUP)
    text, rows = schema_text(database), database.rows("select id, note from orders order by 1")
    with scenario.observed() as connection:
        soft_drop_column(connection, "orders", "note")
        soft_drop_table(connection, "extra")
    accepted(scenario)
    plan = scenario.generate()
    assert "accepted on" in plan.components[0].notes[0]
    assert "2 objects" in plan.components[0].notes[0]
    scenario.execute()
    scenario.verify()
    assert schema_text(database) == text
    assert database.rows("select id, note from orders order by 1") == rows
    assert database.rows("select * from extra") == [(1, "x")]


def test_killed_in_between_it_goes_on(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was dropped stays dropped, what is left follows."""
    drop = PostgresComponent.drop_for_good
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):

        def killed(component: PostgresComponent, what: SoftDrop) -> None:
            if what.kind == "table":
                raise RuntimeError("killed")
            drop(component, what)

        patch.setattr(PostgresComponent, "drop_for_good", killed)
        accepted(scenario)
    assert [each.name for each in dropped(scenario)] == ["extra"]
    assert [each.name for each in accepted(scenario).dropped] == ["extra"]
    assert dropped(scenario) == []
    acceptance = Repository(scenario.store).acceptance(scenario.snapshot_id)
    assert acceptance
    assert len(acceptance.dropped) == 2


def test_an_open_rollback_stands_in_the_way(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is finished or given up."""
    scenario.generate()
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(Applier, "run", lambda _: (_ for _ in ()).throw(RuntimeError("killed")))
        scenario.execute()
    for attempt in (accepted, lambda each: accepted_older(each, timedelta())):
        with pytest.raises(LockedError, match="has begun and is not finished"):
            attempt(scenario)
    assert len(dropped(scenario)) == 2
    assert Repository(scenario.store).acceptance(scenario.snapshot_id) is None
    assert scenario.plan
    abandon(scenario.store, scenario.plan.rollback_id, actor="ada")
    assert len(accepted(scenario).dropped) == 2


def test_what_was_taken_back_is_not_accepted(scenario: Scenario) -> None:
    scenario.back()
    with pytest.raises(ConfigurationError, match="was taken back by rollback"):
        accepted(scenario)


def test_unknown_snapshot(scenario: Scenario) -> None:
    scenario.snapshot_id = "none-20260101T000000Z-000000000000"
    with pytest.raises(NotFoundError):
        accepted(scenario)


def test_locks_have_a_budget(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever queues behind us waits for half a second; when the budget is over, nothing is lost."""
    monkeypatch.setattr(session, "PATIENCE_SECONDS", 1.0)
    with scenario.database.connect() as application:
        application.execute("begin; select count(*) from orders")
        started = time.monotonic()
        with pytest.raises(BusyError, match="db: No lock within"):
            accepted(scenario)
        assert time.monotonic() - started < 3.5
        application.execute("rollback")
    assert len(dropped(scenario)) == 2
    with scenario.database.connect() as application:
        application.execute("begin; select count(*) from orders")
        monkeypatch.setattr(session, "PATIENCE_SECONDS", 30.0)
        ending = threading.Timer(0.8, lambda: application.execute("rollback"))
        ending.start()
        accepted(scenario)
        ending.join()
    assert dropped(scenario) == []


def test_what_is_still_needed_is_named(scenario: Scenario) -> None:
    """Somebody has made a view of the column that is to go: never CASCADE."""
    scenario.database.run("create view peeking as select rollback_dropped_5_note from orders")
    with pytest.raises(ComponentError, match="cannot drop column rollback_dropped_5_note"):
        accepted(scenario)
    scenario.database.run("drop view peeking")
    assert len(accepted(scenario).dropped) == 2


def test_each_migration_has_its_own(scenario: Scenario, make_database: Callable[[], Database]) -> None:
    """Accepting the first leaves what the second has soft-dropped, whose rollback does not notice."""
    first, second = scenario.snapshot_id, scenario.begin("select 1").snapshot_id
    with scenario.observed() as connection:
        soft_drop_column(connection, "customers", "email")
    scenario.snapshot_id = first
    accepted(scenario)
    assert [drop.snapshot_id for drop in dropped(scenario)] == [second]
    scenario.snapshot_id = second
    scenario.back()
    judge = make_database()
    judge.run(SETUP + "drop table extra; alter table orders drop note")
    assert schema_text(scenario.database) == schema_text(judge)


def test_the_old_go_by_a_rule(scenario: Scenario) -> None:
    """Those of known snapshots by accepting these, those that name none, or one that was pruned, by their age."""
    with scenario.database.connect() as connection:
        soft_drop_column(connection, "customers", "email")
        connection.execute("set rollback.snapshot = 'pruned-20260101T000000Z-000000000000'")
        soft_drop_column(connection, "customers", "created")
    assert {drop.snapshot_id for drop in dropped(scenario)} == {
        None,
        "pruned-20260101T000000Z-000000000000",
        scenario.snapshot_id,
    }
    assert accepted_older(scenario, timedelta(days=14)).dropped == ()
    tried = accepted_older(scenario, timedelta(), dry_run=True)
    assert len(dropped(scenario)) == 4
    report = accepted_older(scenario, timedelta())
    assert report.dropped == tried.dropped
    assert report.snapshots == tried.snapshots == (scenario.snapshot_id,)
    assert {drop.name for drop in report.dropped} == {"email", "created", "note", "extra"}
    assert dropped(scenario) == []


def test_only_the_owner_may(scenario: Scenario) -> None:
    """The error names what has to be owned."""
    scenario.database.run(
        part("roles") + f"alter role reader login; grant connect on database {scenario.database.name} to reader"
    )
    mine, reader = scenario.database, Database(scenario.database.socket, scenario.database.name, "reader")
    scenario.database = reader
    with pytest.raises(ComponentError, match=r"must be owner of table (rollback_dropped_\\d+_extra|orders)"):
        accepted(scenario)
    scenario.database = mine
    assert len(dropped(scenario)) == 2


def test_a_comment_of_the_users_own_is_no_record(database: Database, memory_store: Store) -> None:
    scenario = Scenario(database, memory_store).begin(
        """create table t (a int, rollback_dropped_2_b int); comment on column t.rollback_dropped_2_b is '{"softDrop": 1}';"""
        """comment on table t is '{"softDrop": {"name": "x", "time": "2026-01-01T00:00:00+00:00", "snapshot": null, "comment": null}}'"""
    )
    assert dropped(scenario) == []
