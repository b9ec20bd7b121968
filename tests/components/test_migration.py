"""A migration in its own transaction: whatever applications write meanwhile is theirs, exactly."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from rollback_provider.core.errors import ConfigurationError, DriftError
from rollback_provider.core.model import Action
from rollback_provider.core.repository import Repository, Store
from tests.components.scenario import Scenario
from tests.fix_postgres import Database

SETUP = """
create table accounts (id int primary key, city text, visits int not null default 0);
insert into accounts select n, 'city ' || n from generate_series(1, 20) n;
create table other (id int primary key, v text); insert into other select n, 'v' from generate_series(1, 5) n;
create table log (line text);
"""


@pytest.fixture
def scenario(database: Database, memory_store: Store) -> Scenario:
    """A database with a snapshot."""
    return Scenario(database, memory_store).begin(SETUP)


def test_writes_of_applications_are_theirs_at_every_moment(scenario: Scenario) -> None:
    """Before the migration begins, while it runs, after it: none of them is taken back."""
    scenario.application(
        "update accounts set city = 'before' where id in (1, 2); insert into accounts values (30, 'before'); delete from accounts where id = 20"
    )
    scenario.application("insert into log values ('before')")
    with scenario.observed() as connection:
        connection.execute("update accounts set city = upper(city) where id in (2, 3, 30)")
        scenario.application(
            "update accounts set city = 'during' where id = 4; insert into accounts values (31, 'during'); delete from accounts where id = 19"
        )
        scenario.application("update other set v = 'during' where id = 1")
        connection.execute("delete from accounts where id = 5; insert into accounts values (40, 'migrated')")
        connection.execute("savepoint s; update accounts set visits = 7 where id = 6; release savepoint s")
        connection.execute("create table made (id int primary key); insert into made values (1)")
        connection.execute("savepoint s; insert into made values (2); release savepoint s")
    scenario.application(
        "update accounts set city = 'after' where id = 7; insert into accounts values (32, 'after'); delete from accounts where id = 18"
    )
    scenario.back()
    rows = dict(scenario.rows("select id, city from accounts"))
    expected = {n: f"city {n}" for n in range(1, 18)}
    expected |= {1: "before", 2: "before", 30: "before", 4: "during", 31: "during", 7: "after", 32: "after"}
    assert rows == expected
    assert scenario.rows("select visits from accounts where id = 6") == [(0,)]
    assert scenario.rows("select v from other where id = 1") == [("during",)]
    assert scenario.rows("select line from log") == [("before",)]
    assert not scenario.entries(), "nothing was written by both, and all of the new table is the migration's"


def test_rows_written_in_subtransactions_are_the_migrations(scenario: Scenario) -> None:
    """Behind savepoints, in exception blocks that nobody sees from outside, nested: none passes for an application's, and none of theirs for ours."""
    with scenario.observed() as connection:
        connection.execute("create table made (id int primary key); alter table accounts add extra text")
        connection.execute(
            "savepoint a; insert into made values (1); savepoint b; insert into made values (2); release savepoint b;"
            " insert into log values ('migrated'); release savepoint a; savepoint c; insert into made values (99); rollback to savepoint c"
        )
        connection.execute(
            "do $$ begin for n in 3..40 loop begin insert into made values (n); update accounts set extra = 'x' where id = n;"
            " exception when unique_violation then null; end; end loop; end $$"
        )
    scenario.application("insert into made values (50); update accounts set extra = 'mine' where id = 7")
    scenario.generate()
    keys = {(entry["scope"], entry["key"]["id"]) for entry in scenario.entries()}
    assert keys == {("public.made", "50"), ("public.accounts", "7")}
    scenario.execute()
    scenario.verify()
    assert scenario.rows("select count(*) from log") == [(0,)], (
        "a table without a key goes back if only the migration wrote to it"
    )


def test_a_row_that_both_write_fails_the_migration_and_nothing_else(scenario: Scenario) -> None:
    """PostgreSQL refuses the second writer; run again, the migration succeeds."""
    with pytest.raises(psycopg.errors.SerializationFailure), scenario.observed() as connection:
        connection.execute("select 1")
        scenario.application("update accounts set city = 'mine' where id = 3")
        connection.execute("update accounts set city = 'X'")
    assert not scenario.generate().steps
    with scenario.observed() as connection:
        connection.execute("update accounts set city = 'X'")
    scenario.back()
    assert scenario.rows("select city from accounts where id <= 4 order by id") == [
        ("city 1",),
        ("city 2",),
        ("mine",),
        ("city 4",),
    ]


def test_the_migration_sees_its_own_settings(scenario: Scenario) -> None:
    """Names without a schema, the role's own time zone."""
    with scenario.observed() as connection:
        row = connection.execute("select current_setting('search_path'), current_setting('DateStyle')").fetchone()
        connection.execute("create table found (id int)")
    assert row == scenario.rows("select current_setting('search_path'), current_setting('DateStyle')")[0]
    assert scenario.rows("select 1 from found") == []


def test_an_error_leaves_nothing_behind(scenario: Scenario) -> None:
    """The driver's error comes through, and what applications wrote meanwhile is known to be theirs."""
    with pytest.raises(psycopg.errors.DivisionByZero), scenario.observed() as connection:
        scenario.application("update accounts set city = 'mine' where id = 3; insert into accounts values (33, 'mine')")
        connection.execute("drop table other")
        connection.execute("select 1 / 0")
    assert scenario.rows("select count(*) from other") == [(5,)]
    assert not scenario.generate(ambiguous="fail").steps
    assert not scenario.entries()
    scenario.execute()
    scenario.verify()


@pytest.mark.parametrize("ending", ["commit", "rollback", "commit; begin"])
def test_a_migration_that_ends_its_transaction_is_told(scenario: Scenario, ending: str) -> None:
    """What it committed cannot be told from others' writes."""
    with pytest.raises(ConfigurationError, match="ended its transaction itself"), scenario.observed() as connection:
        connection.execute("update accounts set city = 'X'")
        connection.execute(ending)
    newest = Repository(scenario.store).checkpoints(scenario.snapshot_id)[-1]
    assert newest.attribution == "unknown"
    if "rollback" not in ending:
        assert scenario.generate().ledger.total(Action.AMBIGUOUS) == 20


def test_a_stale_snapshot_is_refused(scenario: Scenario) -> None:
    """Somebody has changed the schema since: a rollback to the snapshot would take that back as well."""
    scenario.application("alter table accounts add surprise int")
    with pytest.raises(DriftError, match="db: The schema has changed since the snapshot"), scenario.observed():
        pytest.fail("the migration must not begin")


def test_a_checkpoint_of_a_migration_that_never_committed_is_harmless(scenario: Scenario) -> None:
    """It is sealed first; the commit may still fail."""
    scenario.database.run(
        "create table children (id int, account int references accounts deferrable initially deferred)"
    )
    scenario.begin("select 1")
    with pytest.raises(Exception, match="violates foreign key"), scenario.observed() as connection:
        connection.execute(
            "update accounts set city = 'X'; delete from accounts where id = 7; insert into children values (1, 999)"
        )
    assert Repository(scenario.store).checkpoints(scenario.snapshot_id)
    scenario.application("update accounts set city = 'mine' where id = 3")
    assert not scenario.generate().steps
    assert scenario.actions() == {"conflict_kept": 1}, "the row that an application wrote stays as it is"


def test_unknown_component(scenario: Scenario) -> None:
    """Named in the error."""
    from rollback_provider.components.postgres.migration import observe

    with (
        pytest.raises(ConfigurationError, match="'nope'"),
        observe(
            scenario.store, scenario.snapshot_id, "nope", scenario.database.resolve, scenario.progress, actor="test"
        ),
    ):
        pytest.fail("there is nothing to migrate")


def test_locked_tables_are_seen_as_they_were_left(scenario: Scenario) -> None:
    """Writers wait, so none of them can clash; what they wrote until then is in the snapshot that the migration sees."""
    with scenario.database.connect() as application:
        application.execute("begin; update accounts set city = 'first' where id = 3")
        committing = threading.Timer(0.8, lambda: application.execute("commit"))
        committing.start()
        with scenario.observed(lock=["public.accounts"]) as connection:
            committing.join()
            application.execute("set lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                application.execute("update accounts set city = 'second' where id = 4")
            connection.execute("update accounts set city = 'X'")
    scenario.back()
    assert scenario.rows("select city from accounts where id in (3, 4) order by id") == [("first",), ("city 4",)]


@pytest.mark.parametrize(
    "ddl",
    ["alter table accounts drop column visits", "drop table accounts", "alter table accounts alter visits type bigint"],
)
@pytest.mark.parametrize("how", ["alter", "lock"])
def test_what_would_take_writes_along_must_be_locked(scenario: Scenario, ddl: str, how: str) -> None:
    """A write between the migration's snapshot and its DDL would be lost or pass for the migration's: refused, with the way to do it."""
    with pytest.raises(ConfigurationError, match=r"alter=\['public.accounts'\]"), scenario.observed() as connection:
        scenario.application("update accounts set visits = 9 where id = 3; insert into accounts values (33, 'mine')")
        connection.execute(ddl)
    assert scenario.rows("select visits from accounts where id = 3") == [(9,)]
    with scenario.observed(**{how: ["accounts"]}) as connection:
        connection.execute(ddl)
    scenario.back()
    assert scenario.rows("select visits from accounts where id in (3, 33) order by id") == [(9,), (0,)]


def test_who_reads_a_table_and_then_writes_to_it_does_not_deadlock_with_its_alteration(scenario: Scenario) -> None:
    """Such a transaction waits before its first read, instead of in the middle, where the migration would wait for it in turn."""
    with scenario.database.connect() as application, ThreadPoolExecutor() as pool:

        def read_then_write() -> None:
            application.execute("begin; select from accounts; update accounts set city = 'mine' where id = 3; commit")

        with scenario.observed(alter=["accounts"]) as connection:
            waiting = pool.submit(read_then_write)
            time.sleep(0.3)
            connection.execute("set local lock_timeout = '3s'; alter table accounts add column extra integer")
            assert not waiting.done()
        waiting.result(timeout=10)
    scenario.back()
    assert scenario.rows("select city from accounts where id = 3") == [("mine",)]


def test_a_migration_that_was_committed_is_not_run_again_on_the_same_snapshot(scenario: Scenario) -> None:
    """Its worker may have died after the commit: a second run would pass the first one's changes off as applications'."""
    with scenario.observed() as connection:
        connection.execute("update accounts set visits = visits + 1")
    with pytest.raises(ConfigurationError, match="committed already"), scenario.observed():
        pytest.fail("it must not run")
    scenario.back()
    assert scenario.rows("select max(visits) from accounts") == [(0,)]
