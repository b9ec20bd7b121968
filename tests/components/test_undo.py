"""A rollback that was the wrong decision is undone: the migrated state comes back, and every write made since stays."""

from __future__ import annotations

import threading

import psycopg
import pytest

from rollback_provider.components.postgres import steps
from rollback_provider.core.base import Json
from rollback_provider.core.document import Record
from rollback_provider.core.errors import UnsupportedError
from rollback_provider.core.model import Plan, Policy
from rollback_provider.core.repository import Repository, Store
from rollback_provider.core.undo import undo
from tests.components.fix.schema_text import schema_text
from tests.components.scenario import Scenario
from tests.components.test_three_way import ACCOUNTS
from tests.fix_postgres import Database


@pytest.fixture(params=[10_000, 0], ids=["one transaction", "in steps"])
def scenario(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, database: Database, memory_store: Store
) -> Undoing:
    """A database and a store; small and large plans."""
    monkeypatch.setattr(steps, "ONE_TRANSACTION_ROWS", request.param)
    return Undoing(database, memory_store)


class Undoing(Scenario):
    """A scenario that goes back once more."""

    def rolled_back(self) -> Undoing:
        """Back to the snapshot."""
        self.back()
        return self

    def undo(self, **policy: str) -> Plan:
        """Plans to undo the last plan, and makes that the last plan."""
        assert self.plan
        self.plan = undo(
            self.store,
            self.plan.rollback_id,
            self.database.resolve,
            self.progress,
            actor="test",
            policy=Policy(**policy),
        )
        return self.plan

    def undone(self, **policy: str) -> Record:
        """Undoes the last plan."""
        self.undo(**policy)
        self.execute()
        return self.verify()

    def image(self) -> tuple[str, Json]:
        """The schema as pg_dump prints it, and every row."""
        tables = self.rows(
            "select oid::regclass::text from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by 1"
        )
        rows = {name: self.rows(f"select to_jsonb(t)::text from {name} t order by 1") for (name,) in tables}
        return schema_text(self.database), rows


HISTORIES = {
    "rows": (
        ACCOUNTS,
        "update accounts set city = 'X' where id < 4; delete from accounts where id = 9;"
        "insert into accounts values (20, 'new', null, 0)",
    ),
    "a column added with a value for each row": (
        ACCOUNTS,
        "alter table accounts add tier text not null default 'silver', add score int; update accounts set tier = 'gold', score = id where id % 2 = 0",
    ),
    "a default that was changed after the column was added": (
        ACCOUNTS,
        "alter table accounts add tier text default 'silver'; alter table accounts alter tier set default 'gold'",
    ),
    "a column dropped": (ACCOUNTS, "alter table accounts drop column city"),
    "a column dropped and added again": (
        ACCOUNTS,
        "alter table accounts drop column city; alter table accounts add city text",
    ),
    "columns renamed, a type changed": (
        ACCOUNTS,
        "alter table accounts rename balance to amount; alter table accounts alter amount type text using amount::text || '0'",
    ),
    "a type changed, rows too": (
        ACCOUNTS,
        "alter table accounts alter balance type text using balance::text; update accounts set balance = '7.50' where id < 4;"
        "update accounts set balance = 'none' where id = 5; insert into accounts values (20, 'new', null, '3.0')",
    ),
    "a type changed that does not convert": (
        ACCOUNTS,
        "alter table accounts alter city type int using length(city); update accounts set city = id where id < 4",
    ),
    "timestamps that became longer without being written": (
        "set timezone = 'UTC'; create table t (id int primary key, at timestamp); insert into t values (1, '2026-01-01'), (2, '2026-02-01')",
        "set timezone = 'UTC'; alter table t alter at type timestamptz",
    ),
    "a table made, one dropped": (
        ACCOUNTS + "create table old (id int primary key, v text); insert into old values (1, 'a'), (2, E'b\\\\\\t')",
        "drop table old; create table new (id int primary key references accounts, v text); insert into new values (1, E'x\\ty'), (2, null)",
    ),
    "a table without a key": (
        "create table k (v int, w text); insert into k values (1, 'a'), (1, 'a'), (2, null)",
        "update k set w = 'X' where v = 1; alter table k add z int; insert into k values (9, 'n', 4)",
    ),
    "another key": (
        ACCOUNTS,
        "alter table accounts drop constraint accounts_pkey, drop constraint accounts_name_key; alter table accounts alter name set not null;"
        "alter table accounts add primary key (name); update accounts set city = 'X' where id = 2; insert into accounts values (20, 'new')",
    ),
    "an enum with another label": (
        "create type mood as enum ('sad', 'ok'); create table t (id int primary key, m mood); insert into t values (1, 'sad'), (2, 'ok')",
        "create type moods as enum ('sad', 'ok', 'happy'); alter table t alter m type moods using m::text::moods; drop type mood;"
        "alter type moods rename to mood; update t set m = 'happy' where id = 2; insert into t values (3, 'happy')",
    ),
    "unique values given round": (
        ACCOUNTS,
        "update accounts set name = name || 'x'; update accounts set name = 'name ' || id % 9 + 1, city = 'X'",
    ),
    "a label renamed, rows that hold it": (
        "create type mood as enum ('sad', 'ok'); create table t (id int primary key, m mood, ms mood[], v int);"
        "insert into t select n, 'sad', '{sad,ok}', n from generate_series(1, 6) n; update t set m = 'ok' where id > 3",
        "alter type mood rename value 'sad' to 'blue'; update t set m = 'blue' where id = 5; update t set m = 'ok', ms = '{blue,ok}' where id = 2;"
        "update t set v = 0 where id in (1, 4); delete from t where id = 3; insert into t values (7, 'blue', '{blue}', 7)",
    ),
    "a table that refers to itself": (
        "create table t (id int primary key, up int references t); insert into t values (1, null), (2, 1), (3, 2)",
        "update t set up = null where id = 3; delete from t where id = 2; insert into t values (7, 1), (8, 7)",
    ),
}


@pytest.mark.parametrize("history", HISTORIES)
def test_the_migrated_state_comes_back(scenario: Undoing, history: str) -> None:
    """Schema and every row; nothing is lost on the way, so nothing is listed as lost. And back again."""
    setup, migration = HISTORIES[history]
    scenario.begin(setup)
    before = scenario.image()
    scenario.migrate(migration)
    migrated = scenario.image()
    scenario.rolled_back()
    assert scenario.image() == before
    record = scenario.undone()
    assert scenario.image() == migrated
    assert not scenario.entries()
    assert not [check for check in record.execution.verification.checks if "applications" in check.detail]
    scenario.undone()
    assert scenario.image() == before


@pytest.mark.parametrize(
    "changes", ["", "alter table accounts add tier int default 1; update accounts set tier = id where id < 9;"]
)
def test_a_rollback_to_a_snapshot_that_builds_upon_an_earlier_one_is_undone(scenario: Undoing, changes: str) -> None:
    """Rows that were written between the snapshots, before the rollback and after it, by applications and by the migration."""
    scenario.begin(
        ACCOUNTS + "insert into accounts select n, 'name ' || n, 'city ' || n, n from generate_series(10, 200) n"
    )
    scenario.application(
        "update accounts set name = 'between ' || id where id in (1, 2, 3); delete from accounts where id = 8; insert into accounts values (300, 'too', 'c', 1), (301, 'two', 'c', 1)"
    )
    scenario.begin("")
    assert Repository(scenario.store).snapshot(scenario.snapshot_id).components[0].payload["deltas"]
    before = scenario.image()
    scenario.migrate(
        changes
        + "update accounts set city = 'X' where id in (1, 4, 300); delete from accounts where id in (2, 9, 301); insert into accounts values (8, 'again', null, 0)"
    )
    migrated = scenario.image()
    scenario.rolled_back()
    assert scenario.image() == before
    record = scenario.undone()
    assert scenario.image() == migrated
    assert not [check for check in record.execution.verification.checks if "applications" in check.detail]
    scenario.undone()
    assert scenario.image() == before
    scenario.application(
        "update accounts set name = 'since ' || id where id in (3, 7); insert into accounts values (310, 'since 310', 'c', 1); delete from accounts where id = 150"
    )
    scenario.undone()
    assert not scenario.entries()
    assert scenario.rows("select id from accounts where name like 'since%' order by id") == [(3,), (7,), (310,)]
    scenario.application(
        "update accounts set name = 'between 3' where id = 3; update accounts set name = 'name 7' where id = 7; delete from accounts where id = 310"
    )
    scenario.application("insert into accounts values (150, 'name 150', 'city 150', 150)")
    assert scenario.image() == migrated


def test_what_was_written_since_stays(scenario: Undoing) -> None:
    """Rows, columns of rows, and rows that go; what has no place in the migrated schema is listed."""
    scenario.begin(ACCOUNTS).migrate(
        "update accounts set city = 'X' where id < 4; alter table accounts drop column balance; alter table accounts add tier int default 1;"
        "update accounts set tier = id where id > 5; insert into accounts values (20, 'new', null, 5)"
    )
    scenario.rolled_back().application(
        "update accounts set name = 'renamed ' || id where id in (1, 7); update accounts set city = 'moved' where id = 2;"
        "update accounts set balance = 99 where id = 3; delete from accounts where id = 8; insert into accounts values (30, 'mine', 'here', 1)"
    )
    scenario.undone()
    assert scenario.rows("select id, name, city, tier from accounts order by id") == [
        (1, "renamed 1", "X", 1),
        (2, "name 2", "moved", 1),
        (3, "name 3", "X", 1),
        (4, "name 4", "city 4", 1),
        (5, "name 5", "city 5", 1),
        (6, "name 6", "city 6", 6),
        (7, "renamed 7", "city 7", 7),
        (9, "name 9", "city 9", 9),
        (20, "new", None, 5),
        (30, "mine", "here", 1),
    ]
    listed = {(entry["action"], entry["key"]["id"]) for entry in scenario.entries()}
    assert listed == {("merged", "1"), ("conflict_kept", "2"), ("discarded", "3"), ("discarded", "30")}


def test_what_was_written_while_it_was_rolled_back_is_not_undone(scenario: Undoing) -> None:
    """Before, between and after the transactions of the rollback; each write is acknowledged and must be there in the end."""
    scenario.begin(ACCOUNTS + "insert into accounts select n, 'name ' || n, 'city', n from generate_series(10, 400) n")
    scenario.migrate(
        "update accounts set city = 'X'; alter table accounts add tier text default 'silver'; update accounts set tier = 'gold' where id % 3 = 0;"
        "create table new (id int primary key, v text); insert into new select n, 'v' from generate_series(1, 50) n"
    )
    scenario.generate()
    stop, written, tiers = threading.Event(), {}, {}

    def write() -> None:
        with scenario.database.connect() as connection:
            number = 0
            while not stop.is_set():
                number += 1
                key = number % 400 + 1
                try:
                    connection.execute("update accounts set name = %s where id = %s", [f"write {number}", key])
                    written[key] = f"write {number}"
                    connection.execute("update accounts set tier = %s where id = %s", [f"tier {number}", key])
                    tiers[key] = f"tier {number}"
                    connection.execute("delete from new where id = %s", [key])
                    connection.execute("insert into new values (%s, %s)", [key, f"write {number}"])
                except (psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedTable):
                    pass

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(written) < 100:
            pass
        scenario.execute()
    finally:
        seen = len(written)
        while len(written) < min(seen + 50, 400) and writer.is_alive():
            pass
        stop.set()
        writer.join()
    scenario.undone()
    names = dict(scenario.rows("select id, name from accounts"))
    assert {key: names[key] for key in written} == written
    found = dict(scenario.rows("select id, tier from accounts"))
    assert {key: found[key] for key in tiers} == tiers
    expected = {key: "gold" if key % 3 == 0 else "silver" for key in found if key not in tiers}
    assert {key: found[key] for key in expected} == expected
    assert {city for (city,) in scenario.rows("select distinct city from accounts")} == {"X"}


def test_a_value_written_again_into_a_table_that_the_rollback_brought_back_is_listed(scenario: Undoing) -> None:
    """The table goes; what applications wrote to it is in the ledger, what the rollback wrote is not."""
    scenario.begin(
        "create table old (id int primary key, v text); insert into old select n, 'v' from generate_series(1, 9) n"
    )
    scenario.migrate("drop table old").rolled_back()
    scenario.application("update old set v = 'mine' where id = 3; insert into old values (30, 'too')")
    scenario.undone()
    assert [(e["action"], e["key"]["id"], e["now"]["v"]) for e in scenario.entries()] == [
        ("discarded", "3", "mine"),
        ("discarded", "30", "too"),
    ]


@pytest.mark.parametrize(
    "policy",
    [{"only": ("public.accounts",)}, {"part": "data"}, {"part": "schema"}, {"rows": {"public.accounts": "id < 3"}}],
)
def test_a_rollback_of_a_part_is_undone(scenario: Undoing, policy: dict[str, object]) -> None:
    """What was not chosen is not touched either time."""
    scenario.begin(
        ACCOUNTS + "create table notes (id int primary key, v text); insert into notes values (1, 'a'), (2, 'b')"
    )
    scenario.migrate(
        "update accounts set city = 'X' where id < 5; alter table accounts rename name to called; delete from accounts where id = 9;"
        "alter table accounts add tier text not null default gen_random_uuid()::text; update notes set v = 'X'; alter table notes add w int"
    )
    migrated = scenario.image()
    scenario.back(**policy)
    assert scenario.image() != migrated
    scenario.undone()
    assert scenario.image() == migrated


def test_several_migrations_at_once_are_undone_at_once(scenario: Undoing) -> None:
    """A rollback is one, whatever it took back."""
    scenario.begin(ACCOUNTS).migrate("update accounts set city = 'X' where id < 5")
    first = scenario.snapshot_id
    scenario.application("update accounts set name = 'between' where id = 1")
    scenario.begin("").migrate(
        "update accounts set city = 'Y' where id < 3; alter table accounts add tier int default 3"
    )
    migrated = scenario.image()
    scenario.snapshot_id = first
    scenario.back()
    assert scenario.plan
    assert scenario.plan.through
    scenario.application("update accounts set name = 'since' where id = 2")
    scenario.undone()
    scenario.application("update accounts set name = 'name 2' where id = 2")
    assert scenario.image() == migrated


def test_a_conflict_can_be_decided_for_the_migration(scenario: Undoing) -> None:
    """The policy is that of any plan."""
    scenario.begin(ACCOUNTS).migrate("update accounts set city = 'X' where id < 4").rolled_back()
    scenario.application("update accounts set city = 'moved' where id = 2")
    scenario.undone(conflicts="restore")
    assert scenario.rows("select city from accounts where id < 4") == [("X",)] * 3
    assert scenario.actions() == {"conflict_restored": 1}


@pytest.mark.parametrize("later", ["alter table other drop column v", "drop table other"])
def test_what_the_rollback_did_not_touch_is_not_undone(scenario: Undoing, later: str) -> None:
    """Its rows were not kept, so a later change of its columns is refused by name."""
    scenario.begin(ACCOUNTS + "create table other (id int primary key, v text); insert into other values (1, 'a')")
    scenario.migrate("update accounts set city = 'X' where id < 4").rolled_back().application(later)
    with pytest.raises(UnsupportedError, match=r"public\.other.*not in the snapshot"):
        scenario.undo()


def test_verification_finds_what_is_not_back(scenario: Undoing) -> None:
    """The state before the rollback is known row by row."""
    scenario.begin(ACCOUNTS).migrate("update accounts set city = 'X' where id < 4").rolled_back()
    scenario.undone()
    scenario.application("update accounts set city = 'city 2' where id = 2")
    with pytest.raises(AssertionError, match="city is 'city 2', was 'X'"):
        scenario.verify()
