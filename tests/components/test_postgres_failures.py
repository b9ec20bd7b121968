"""What goes wrong at night: killed sessions and workers, locks, missing privileges, somebody else at work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rollback_provider.components.postgres import session, steps
from rollback_provider.core.component import Component
from rollback_provider.core.errors import (
    BusyError,
    ComponentError,
    ComponentUnavailableError,
    ConfigurationError,
    DriftError,
    LockedError,
    MigrationRunningError,
    PermissionDeniedError,
)
from rollback_provider.core.executor import execute
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.registry import build
from rollback_provider.core.repository import Store
from rollback_provider.store import open_store
from tests.components.scenario import Scenario
from tests.fix_postgres import Database

SETUP = """
create table t (id int primary key, a int, b text, c text not null default 'c');
insert into t select n, n, 'b' || n, 'c' || n from generate_series(1, 5000) n;
create table gone (id int primary key references t, v text); insert into gone select n, 'v' from generate_series(1, 1000) n;
"""
MIGRATION = """
drop table gone; alter table t drop column c; alter table t rename a to aa;
update t set b = 'X' where id % 2 = 0; delete from t where id > 4900; insert into t select n, n, 'new' from generate_series(6000, 6500) n;
"""


@pytest.fixture
def scenario(database: Database, memory_store: Store) -> Scenario:
    """A database and a store."""
    return Scenario(database, memory_store)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many transactions with few rows."""
    monkeypatch.setattr(steps, "ONE_TRANSACTION_ROWS", 0)
    monkeypatch.setattr(steps, "BATCH_ROWS", 200)


@pytest.mark.usefixtures("small_batches")
def test_sessions_killed_while_executing(scenario: Scenario) -> None:
    """Again and again: each try continues where the last one stopped, and the result is exact."""
    scenario.begin(SETUP)
    before = scenario.rows("select id, a, b, c from t order by id")
    scenario.migrate(MIGRATION)
    scenario.generate()
    ended = threading.Event()
    kills = []

    def kill() -> None:
        while not ended.wait(0.15):
            kills.extend(
                scenario.rows(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rollback-provider'"
                    f" and datname = '{scenario.database.name}'"
                )
            )
            if len(kills) >= 5:
                return

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for _ in range(30):
            try:
                scenario.execute()
                break
            except ComponentError as error:
                assert "db: " in str(error)
        else:
            pytest.fail("it did not converge")
    finally:
        ended.set()
        killer.join()
    assert kills
    record = scenario.verify()
    assert record.execution.attempts > 1
    assert scenario.rows("select id, a, b, c from t order by id") == before
    assert scenario.rows("select count(*) from gone") == [(1000,)]


WORKER = """
import sys
from rollback_provider.core.component import Connection
from rollback_provider.core.executor import execute
from rollback_provider.store import open_store
from tests.fix_progress import RecordedProgress
store, rollback, host, name = sys.argv[1:]
resolve = lambda i: Connection(id=i, type="postgres", host=host, login="postgres", schema=name)
execute(open_store(store), rollback, resolve, RecordedProgress(), actor="worker")
"""


@pytest.mark.usefixtures("small_batches")
def test_workers_killed_while_executing(scenario: Scenario, tmp_path: Path) -> None:
    """SIGKILL of the whole process, four times on the way, then another worker; no row is wrong."""
    scenario.store = open_store((tmp_path / "store").as_uri())
    scenario.begin(SETUP)
    before = scenario.rows("select id, a, b, c from t order by id")
    scenario.migrate(MIGRATION)
    plan = scenario.generate()
    arguments = [(tmp_path / "store").as_uri(), plan.rollback_id, scenario.database.socket, scenario.database.name]
    journal = f"rollbacks/{plan.rollback_id}/journal/"
    for moment in (3, 9, 17, 30):
        worker = subprocess.Popen([sys.executable, "-c", WORKER, *arguments], cwd=Path(__file__).parents[2])
        while worker.poll() is None and len(list(scenario.store.names(journal))) < moment:
            time.sleep(0.002)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    scenario.execute()
    record = scenario.verify()
    assert record.execution.attempts == 5
    assert scenario.rows("select id, a, b, c from t order by id") == before


def test_a_lock_that_is_not_to_be_had(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts are short, so that nobody queues behind us for long; in the end one clear error, and a retry goes on."""
    monkeypatch.setattr(session, "PATIENCE_SECONDS", 1.5)
    scenario.begin(SETUP).migrate("alter table t rename a to aa")
    scenario.generate()
    with scenario.database.connect() as holder, scenario.database.connect() as application:
        holder.execute("begin; select count(*) from t")
        application.execute("set statement_timeout = '1s'")
        failed: list[Exception] = []

        def run() -> None:
            try:
                scenario.execute()
            except BusyError as error:
                failed.append(error)

        executing = threading.Thread(target=run)
        executing.start()
        while executing.is_alive():
            application.execute("update t set b = b where id = 1")
            time.sleep(0.05)
        executing.join()
        assert failed
        assert "db: No lock within" in str(failed[0])
        holder.execute("rollback")
    scenario.execute()
    scenario.verify()


def test_a_migration_that_still_runs(scenario: Scenario) -> None:
    """Neither planned nor executed over."""
    scenario.begin(SETUP).migrate("alter table t rename a to aa")
    plan = scenario.generate()
    with scenario.database.connect(application_name="alembic") as migrating:
        migrating.execute("begin; lock table t in share row exclusive mode")
        with pytest.raises(MigrationRunningError, match=r"alembic.* on (public\.)?t "):
            scenario.generate()
        scenario.plan = plan
        with pytest.raises(MigrationRunningError, match="still running"):
            scenario.execute()
    scenario.execute()
    scenario.verify()


def test_two_rollbacks_at_once(scenario: Scenario) -> None:
    """The database itself keeps the second one out, whatever store it uses."""
    scenario.begin(SETUP).migrate("alter table t rename a to aa")
    scenario.generate()
    with scenario.database.connect() as other:
        other.execute(
            "select pg_advisory_lock(%s, oid::int4) from pg_database where datname = current_database()",
            [session._LOCK_CLASS],
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "_LOCK_SECONDS", 0.2)
            with pytest.raises(LockedError, match="db: Another session"):
                scenario.execute()
    scenario.execute()
    scenario.verify()


def test_missing_privileges_are_named_with_their_grant(scenario: Scenario) -> None:
    """To read for a snapshot; to own for a rollback."""
    scenario.database.run(
        SETUP
        + "drop role if exists snapshot_reader; create role snapshot_reader login; grant usage on schema public to snapshot_reader; grant select on t to snapshot_reader"
    )
    reader = Database(scenario.database.socket, scenario.database.name, "snapshot_reader")
    spec = ComponentSpec(kind="postgres", name="db", connection=scenario.database.name)
    component = build(spec, reader.resolve)
    with pytest.raises(
        PermissionDeniedError, match=r"1 of 2 tables.*GRANT SELECT ON (public\.)?gone TO snapshot_reader"
    ):
        component.capture(scenario.store, scenario.progress)
    component.close()
    scenario.begin("select 1").migrate(
        "alter table t rename a to aa; grant select on all tables in schema public to snapshot_reader"
    )
    scenario.generate()
    scenario.database, owner = reader, scenario.database
    with pytest.raises(PermissionDeniedError, match="GRANT postgres TO snapshot_reader"):
        scenario.generate()
    owner.run("drop owned by snapshot_reader; drop role snapshot_reader")


def test_rows_hidden_by_row_security_are_an_error(scenario: Scenario) -> None:
    """A snapshot of the rows one happens to see would be a lie."""
    scenario.database.run(
        SETUP + "drop role if exists tenant; create role tenant login; grant usage on schema public to tenant;"
        "grant select on t, gone to tenant; alter table t enable row level security"
    )
    tenant = Database(scenario.database.socket, scenario.database.name, "tenant")
    component = build(ComponentSpec(kind="postgres", name="db", connection=tenant.name), tenant.resolve)
    with pytest.raises(PermissionDeniedError, match="row-level security"):
        component.capture(scenario.store, scenario.progress)
    component.close()
    scenario.database.run("drop owned by tenant; drop role tenant")


def test_drift_since_the_approval(scenario: Scenario) -> None:
    """Schema: refused. Rows: merged."""
    scenario.begin(SETUP).migrate(MIGRATION)
    scenario.generate()
    scenario.application("alter table t add hotfix int")
    with pytest.raises(DriftError, match="rollbackctl generate"):
        scenario.execute()
    assert scenario.rows("select count(*) from t where b = 'X'")[0][0] > 0


def test_connection_trouble_is_one_line_without_the_password(scenario: Scenario) -> None:
    """And says nothing was changed."""
    from rollback_provider.core.component import Connection

    spec = ComponentSpec(kind="postgres", name="db", connection="x")
    secret = "hush-hush"  # noqa: S105  not one
    component = build(
        spec,
        lambda i: Connection(id=i, type="postgres", host="127.0.0.1", port=1, login="u", password=secret, schema="d"),
    )
    with pytest.raises(ComponentUnavailableError) as caught:
        component.capture(scenario.store, scenario.progress)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schemas": "public"}, "list of names"),
        ({"schema": ["public"]}, "Unknown options: schema"),
        ({"schemas": ["nope"]}, "nope"),
    ],
)
def test_bad_options(scenario: Scenario, options: dict[str, object], message: str) -> None:
    """Each named."""
    with pytest.raises(ConfigurationError, match=message):
        Scenario(scenario.database, scenario.store, options=options).begin("select 1")


def test_cancel_stops_a_running_statement(scenario: Scenario) -> None:
    """At once, and what it was doing is undone."""
    scenario.begin(SETUP).migrate("alter table t rename a to aa")
    plan = scenario.generate()
    running: list[Component] = []
    with scenario.database.connect() as holder:
        holder.execute("begin; lock table t in access share mode")
        threading.Timer(0.7, lambda: running[-1].cancel()).start()  # noqa: PLW0108  it is there only later
        started = time.monotonic()
        with pytest.raises(ComponentError, match="db: "):
            execute(
                scenario.store,
                plan.rollback_id,
                scenario.database.resolve,
                scenario.progress,
                actor="test",
                watch=running.append,
            )
        assert time.monotonic() - started < 60
    scenario.execute()
    scenario.verify()
