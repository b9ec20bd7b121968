"""Several migrations are taken back at once: what each of them did goes, what applications wrote before, between and since stays."""

from __future__ import annotations

import pytest

from rollback_provider.components.postgres import steps
from rollback_provider.core.capturer import take_checkpoint, take_snapshot
from rollback_provider.core.errors import ConflictError, UnsupportedError
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.repository import Repository, Store
from tests.components.fix.schema_text import schema_text
from tests.components.scenario import Scenario
from tests.components.test_three_way import ACCOUNTS
from tests.fix_postgres import Database


class Chained(Scenario):
    """A scenario with more than one migration; the first snapshot stays the one to go back to."""

    def then(self, script: str, *, name: str = "again") -> Chained:
        """Another snapshot, migration and checkpoint."""
        spec = ComponentSpec(kind="postgres", name="db", connection=self.database.name, options=self.options)
        second = take_snapshot(self.store, name, [spec], self.database.resolve, self.progress, actor="test")
        self.database.run(script)
        take_checkpoint(self.store, second.id, self.database.resolve, self.progress, actor="test")
        return self


@pytest.fixture(params=[10_000, 0], ids=["one transaction", "in steps"])
def chained(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, database: Database, memory_store: Store
) -> Chained:
    """A database and a store; small and large plans."""
    monkeypatch.setattr(steps, "ONE_TRANSACTION_ROWS", request.param)
    return Chained(database, memory_store)


FIRST = "update accounts set city = 'X' where id <= 4; delete from accounts where id = 9; insert into accounts values (20, 'new', 'n', 0)"
PAIRS = {
    "rows and rows": (
        FIRST,
        "update accounts set city = 'Y', balance = 0 where id between 3 and 6; delete from accounts where id in (1, 8, 20);"
        "insert into accounts values (9, 'name 9', 'again', 0), (21, 'newer', 'n', 0)",
    ),
    "rows, then columns": (
        FIRST,
        "alter table accounts add tier int default 3; alter table accounts drop column balance; update accounts set tier = 4, city = 'Y' where id < 6",
    ),
    "columns added, then rows": (
        "alter table accounts add tier int default 3, add label text not null default gen_random_uuid()::text; update accounts set tier = id",
        "update accounts set city = 'Y', tier = 0 where id < 6; delete from accounts where id = 7; insert into accounts values (22, 'n', 'm', 0, 1)",
    ),
    "rows, then the table": (FIRST, "drop table accounts"),
    "the table renamed, then rows": (
        "alter table accounts rename to customers; alter table customers rename city to town",
        "update customers set town = 'Y' where id < 6; delete from customers where id = 7",
    ),
    "a type changed, then rows of another table": (
        "alter table accounts alter balance type text using balance::text || ' EUR'",
        "update notes set v = 'Y' where id < 3",
    ),
    "a table made, then dropped": (
        "create table made (id int primary key); insert into made values (1)",
        "drop table made",
    ),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_both_go(chained: Chained, pair: str) -> None:
    """Schema and every row are as before, by the judgement of others; what verification says is true."""
    first, second = PAIRS[pair]
    chained.begin(
        ACCOUNTS
        + "create table notes (id int primary key, v text); insert into notes select n, 'v' from generate_series(1, 5) n"
    )
    before = (
        schema_text(chained.database),
        chained.rows("select a::text from accounts a order by id"),
        chained.rows("table notes"),
    )
    chained.migrate(first)
    chained.then(second)
    chained.back()
    assert chained.plan
    assert len(chained.plan.through) == 1
    assert not chained.entries()
    after = (
        schema_text(chained.database),
        chained.rows("select a::text from accounts a order by id"),
        chained.rows("table notes order by 1"),
    )
    assert after == before


MANY = ACCOUNTS + "insert into accounts select n, 'name ' || n, 'city ' || n, n from generate_series(10, 200) n"


def test_the_second_snapshot_builds_upon_the_first(chained: Chained) -> None:
    """It holds the first migration's rows, and the applications', as what has changed since the first snapshot."""
    chained.begin(MANY)
    before = schema_text(chained.database), chained.rows("select a::text from accounts a order by id")
    chained.migrate(
        "update accounts set city = 'X' where id <= 4; delete from accounts where id in (8, 9); insert into accounts values (300, 'new', 'n', 0), (301, 'newer', 'n', 0)"
    )
    chained.application(
        "update accounts set name = 'mine ' || id where id in (1, 5); insert into accounts values (310, 'mine 310', 'here', 1)"
    )
    chained.then(
        "update accounts set city = 'Y', balance = 0 where id in (1, 2, 5, 6, 310); delete from accounts where id in (3, 7, 300);"
        "insert into accounts values (9, 'again', 'n', 0); alter table accounts add tier int default 3"
    )
    (second,) = set(Repository(chained.store).snapshot_ids()) - {chained.snapshot_id}
    assert Repository(chained.store).snapshot(second).components[0].payload["deltas"]
    chained.application(
        "update accounts set name = 'mine ' || id where id in (2, 100); delete from accounts where id = 200"
    )
    chained.back()
    assert chained.plan
    assert chained.plan.through == (second,)
    assert chained.actions() == {"merged": 1}
    assert chained.rows("select id, city from accounts where name like 'mine%' order by id") == [
        (1, "city 1"),
        (2, "city 2"),
        (5, "city 5"),
        (100, "city 100"),
        (310, "here"),
    ]
    chained.application(
        "update accounts set name = 'name ' || id where name like 'mine%'; delete from accounts where id = 310"
    )
    chained.application("insert into accounts values (200, 'name 200', 'city 200', 200)")
    assert (schema_text(chained.database), chained.rows("select a::text from accounts a order by id")) == before


def test_what_applications_wrote_stays(chained: Chained) -> None:
    """Before the second migration, and after it; where it meets a migration's change it is listed, whichever it was."""
    chained.begin(ACCOUNTS).migrate("update accounts set city = 'X' where id <= 6").application(
        "update accounts set name = 'between' where id = 1; update accounts set city = 'kept' where id = 2; insert into accounts values (30, 'thirty', 'mine', 1);"
        "update accounts set city = 'kept', name = 'both' where id = 3; delete from accounts where id = 9"
    )
    chained.then("update accounts set city = 'Y', balance = 0 where id in (1, 3, 4, 7, 30)")
    chained.application(
        "update accounts set city = 'late' where id = 4; update accounts set name = 'late' where id = 7; delete from accounts where id = 8"
    )
    chained.back()
    assert chained.rows("select id, name, city, balance::text from accounts order by id") == [
        (1, "between", "city 1", "1.00"),
        (2, "name 2", "kept", "2.00"),
        (3, "both", "kept", "3.00"),
        (4, "name 4", "late", "4.00"),
        (5, "name 5", "city 5", "5.00"),
        (6, "name 6", "city 6", "6.00"),
        (7, "late", "city 7", "7.00"),
        (30, "thirty", "mine", "1.00"),
    ]
    listed = {(entry["action"], entry["key"]["id"]) for entry in chained.entries()}
    assert listed == {
        ("conflict_kept", "2"),
        ("conflict_kept", "3"),
        ("conflict_kept", "4"),
        ("merged", "7"),
    }


def test_three_migrations(chained: Chained) -> None:
    """Composed one after the other."""
    chained.begin(ACCOUNTS).migrate("update accounts set city = 'X' where id < 6")
    chained.application("update accounts set name = 'a' where id = 1")
    chained.then("update accounts set city = 'Y' where id < 4; alter table accounts add tier int")
    chained.application("update accounts set name = 'b' where id = 2")
    chained.then("update accounts set city = 'Z', balance = 0 where id < 3; delete from accounts where id = 9")
    chained.back()
    assert chained.plan
    assert len(chained.plan.through) == 2
    assert chained.rows("select name, city, balance::text from accounts where id in (1, 2, 3, 9) order by id") == [
        ("a", "city 1", "1.00"),
        ("b", "city 2", "2.00"),
        ("name 3", "city 3", "3.00"),
        ("name 9", "city 9", "9.00"),
    ]


def test_migrations_in_their_own_transactions(chained: Chained) -> None:
    """Applications need not be quiet for any of them."""
    chained.begin(MANY)
    with chained.observed() as connection:
        connection.execute("update public.accounts set city = 'X' where id < 6")
        chained.application("update accounts set city = 'mine' where id = 7")
    first = chained.snapshot_id
    spec = ComponentSpec(kind="postgres", name="db", connection=chained.database.name)
    chained.snapshot_id = take_snapshot(
        chained.store, "again", [spec], chained.database.resolve, chained.progress, actor="test"
    ).id
    chained.application("update accounts set name = 'caught up' where id = 1")
    with chained.observed() as connection:
        connection.execute("update public.accounts set city = 'Y' where id < 3")
        chained.application("update accounts set name = 'mine too' where id = 8")
    chained.snapshot_id = first
    chained.back()
    assert not chained.entries()
    assert chained.rows("select id, name, city from accounts where id in (1, 2, 5, 7, 8) order by id") == [
        (1, "caught up", "city 1"),
        (2, "name 2", "city 2"),
        (5, "name 5", "city 5"),
        (7, "name 7", "mine"),
        (8, "mine too", "city 8"),
    ]


@pytest.mark.parametrize(
    ("first", "column"),
    [
        ("alter table accounts alter balance type text using balance::text", "balance"),
        ("alter table accounts drop column balance", "balance"),
        ("alter type mood rename value 'sad' to 'blue'; update accounts set city = 'X'", "mood"),
    ],
    ids=["retyped", "dropped", "a label renamed"],
)
def test_what_cannot_be_told_apart_is_refused(chained: Chained, first: str, column: str) -> None:
    """By name, and with the way out."""
    chained.begin(
        ACCOUNTS + "create type mood as enum ('sad'); alter table accounts add mood mood default 'sad'"
    ).migrate(first)
    chained.then("update accounts set city = 'Y' where id = 1")
    with pytest.raises(
        UnsupportedError, match=rf"public\.accounts.* {column}: .*later one back first: rollbackctl generate again-"
    ):
        chained.generate()


def test_a_conflict_between_two_migrations_is_decided_by_the_policy(chained: Chained) -> None:
    """As any other."""
    chained.begin(ACCOUNTS).migrate("update accounts set city = 'X' where id = 1")
    chained.application("update accounts set city = 'mine' where id = 1").then(
        "update accounts set city = 'Y' where id = 1"
    )
    with pytest.raises(ConflictError, match=r"public\.accounts"):
        chained.generate(conflicts="fail")
    chained.back(conflicts="restore")
    assert chained.actions() == {"conflict_restored": 1}
    assert chained.rows("select city from accounts where id = 1") == [("city 1",)]


def test_a_later_migration_of_other_schemas_is_no_part_of_it(chained: Chained) -> None:
    """It is left alone, and needs no checkpoint."""
    chained.options = {"schemas": ["public"]}
    chained.begin(ACCOUNTS).migrate(
        "update accounts set city = 'X' where id = 1; create schema other; create table other.t (id int)"
    )
    chained.options = {"schemas": ["other"]}
    spec = ComponentSpec(kind="postgres", name="db", connection=chained.database.name, options=chained.options)
    take_snapshot(chained.store, "other", [spec], chained.database.resolve, chained.progress, actor="test")
    plan = chained.generate(ambiguous="fail")
    assert plan.through == ()
    assert not [note for part in plan.components for note in part.notes if "no checkpoint" in note]


def test_rows_an_application_wrote_into_a_new_column_are_listed(chained: Chained) -> None:
    """Whether before or after the second migration."""
    chained.begin(ACCOUNTS).migrate("alter table accounts add tier int").application(
        "update accounts set tier = 1 where id = 1"
    )
    chained.then("create table made (id int primary key)")
    chained.application("update accounts set tier = 2 where id = 2")
    chained.back()
    assert {(e["action"], e["key"]["id"], e["now"]["tier"]) for e in chained.entries()} == {
        ("discarded", "1", "1"),
        ("discarded", "2", "2"),
    }
