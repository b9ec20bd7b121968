"""On any migration that PostgreSQL can run, the rollback is exact, or it refuses beforehand and says why."""

from __future__ import annotations

import pytest

from rollback_provider.components.postgres import steps
from rollback_provider.components.postgres.applying import parking
from rollback_provider.core.repository import Store
from tests.components.fix.schema_text import database_text
from tests.components.scenario import Scenario
from tests.fix_postgres import Database

PEOPLE = """
create table people (id int primary key, email text not null unique, name text not null, born date);
insert into people select n, 'p' || n || '@example.org', 'First' || n || ' Last' || n, '2000-01-01'::date + n from generate_series(1, 9) n;
create table posts (id int primary key, author int references people on update cascade on delete cascade, body text);
insert into posts select n, n % 9 + 1, 'body ' || n from generate_series(1, 30) n;
"""
TREE = """
create table tree (id int primary key, up int references tree on delete cascade, slug text unique, pos int not null, unique (up, pos) deferrable);
insert into tree select n, nullif(n / 2, 0), 's' || n, n from generate_series(1, 20) n;
"""
BOOKINGS = """
create table bookings (id int primary key, during int4range not null, exclude using gist (during with &&));
insert into bookings select n, int4range(n * 10, n * 10 + 10) from generate_series(1, 6) n;
"""
MIGRATIONS = {
    "keys shifted by one, children follow": (
        PEOPLE,
        "update people set id = id + 1000; update people set id = id - 999",
    ),
    "unique values swapped": (
        PEOPLE,
        "update people set email = 'x' where id = 1; update people set email = 'p1@example.org' where id = 2;"
        "update people set email = 'p2@example.org' where id = 1",
    ),
    "unique values moved on in a ring": (
        PEOPLE,
        "update people set email = email || '.old'; update people set email = 'p' || id % 9 + 1 || '@example.org'",
    ),
    "nullable unique values moved on": (
        TREE,
        "update tree set slug = slug || 'x'; update tree set slug = 's' || id % 20 + 1",
    ),
    "positions in a deferrable constraint turned round": (
        TREE,
        "begin; set constraints all deferred; update tree set up = 1 where id > 1; update tree set pos = 21 - pos; commit",
    ),
    "ranges of an exclusion constraint moved on": (
        BOOKINGS,
        "update bookings set during = int4range(lower(during) + 100, upper(during) + 100); update bookings set during = int4range((7 - id) * 10, (7 - id) * 10 + 10)",
    ),
    "a subtree deleted by cascade": (TREE, "delete from tree where id = 2; update tree set up = 3 where id = 6"),
    "a tree turned upside down": (
        TREE,
        "update tree set up = null; delete from tree where id < 4; update tree set up = 20 where id = 4",
    ),
    "tables swapped": (
        PEOPLE,
        "alter table people rename to tmp; alter table posts rename to people; alter table tmp rename to posts; update people set body = 'X' where id < 9; delete from posts where id = 1",
    ),
    "columns swapped": (
        PEOPLE,
        "alter table people rename email to tmp; alter table people rename name to email; alter table people rename tmp to name; update people set email = 'X' where id < 3",
    ),
    "a column renamed and converted, another of its name added": (
        PEOPLE,
        "alter table people rename born to year; alter table people alter year type int using extract(year from year); alter table people add born text default 'unknown';"
        "update people set born = 'known' where id < 4",
    ),
    "a table made again under its name": (
        PEOPLE,
        "create table copy as select id, email, upper(name) as name from people where id > 2; drop table people cascade; alter table copy rename to people;"
        "alter table people add primary key (id); insert into people values (77, 'new', 'NEW')",
    ),
    "a column split": (
        PEOPLE,
        "alter table people add first text, add last text; update people set first = split_part(name, ' ', 1), last = split_part(name, ' ', 2);"
        "alter table people drop column name, alter first set not null",
    ),
    "columns merged": (
        PEOPLE,
        "alter table people add contact jsonb; update people set contact = jsonb_build_object('email', email, 'born', born);"
        "alter table people drop column email, drop column born",
    ),
    "information lost by types": (
        "create table v (id int primary key, a timestamptz, b numeric(12, 4), c text, d double precision, e int[], f interval);"
        "insert into v select n, '2026-01-01 10:11:12.345'::timestamptz + n * interval '1 day', n * 1.0625, repeat('x', n), n / 3.0, array[n, n], n * interval '25 hours'"
        " from generate_series(1, 20) n",
        "alter table v alter a type date, alter b type numeric(6, 1), alter c type varchar(10) using left(c, 10), alter d type real, alter e type int using e[1],"
        " alter f type int using extract(day from f); update v set a = '2000-01-01', b = 1 where id < 4",
    ),
    "rows moved between partitions": (
        "create table p (id int, at int, v text, primary key (id, at)) partition by range (at); create table p1 partition of p for values from (0) to (10);"
        "create table p2 partition of p for values from (10) to (20); create table pd partition of p default; insert into p select n, n, 'v' from generate_series(1, 25) n",
        "update p set at = at + 5 where id in (6, 7, 17, 22); update p set id = id + 100 where id < 3; alter table p detach partition p2; insert into p values (200, 2, 'n')",
    ),
    "generated columns": (
        "create table g (id int primary key, a int, b int generated always as (a * 2) stored, c text generated always as ('c' || a) stored);"
        "insert into g (id, a) select n, n from generate_series(1, 9) n",
        "alter table g alter b drop expression; update g set b = 0; alter table g drop column c; alter table g add c text generated always as (upper('d' || a)) stored; update g set a = -a",
    ),
    "identity that is always generated": (
        "create table i (id int generated always as identity primary key, up int references i, v text unique); insert into i (up, v) select nullif(n - 1, 0), 'v' || n from generate_series(1, 9) n",
        "alter table i drop constraint i_up_fkey; delete from i where id > 7; insert into i overriding system value values (2000, 1, 'v9'); alter table i alter id drop identity;"
        "update i set id = id + 100 where id < 5",
    ),
    "row security": (
        PEOPLE,
        "alter table people enable row level security; alter table people force row level security; create policy p on people using (id < 5); update people set name = 'X' where id > 6",
    ),
    "values given round between tables": (
        PEOPLE
        + "create table names (name text primary key, of int unique references people on update cascade); insert into names select name, id from people",
        "update names set of = null; update names set of = 10 - substring(name from 'First([0-9]+)')::int; update people set name = 'First' || 10 - id || ' Last'",
    ),
    "inherited": (
        "create table base (id int primary key, v text); create table leaf (w text, primary key (id)) inherits (base); insert into base values (1, 'a'); insert into leaf values (2, 'b', 'c'), (3, 'd', 'e')",
        "update base set v = 'X'; alter table base add z int default 4; delete from only base; insert into base values (2, 'twice', 5)",
    ),
}


@pytest.fixture(params=[10_000, 0], ids=["one transaction", "in steps"])
def scenario(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, database: Database, memory_store: Store
) -> Scenario:
    """With small and with large plans, in batches of four rows."""
    monkeypatch.setattr(steps, "ONE_TRANSACTION_ROWS", request.param)
    monkeypatch.setattr(steps, "BATCH_ROWS", 4)
    return Scenario(database, memory_store)


@pytest.mark.parametrize("migration", MIGRATIONS)
def test_everything_is_back(scenario: Scenario, migration: str) -> None:
    """Schema and rows, as pg_dump prints them; no application has written, so nothing is listed."""
    setup, change = MIGRATIONS[migration]
    scenario.begin(setup)
    before = database_text(scenario.database)
    scenario.migrate(change)
    scenario.generate()
    record = scenario.execute()
    assert database_text(scenario.database) == before
    assert not [*scenario.entries(), *scenario.entries(execution=record)]
    scenario.verify()


RING = "update people set email = email || '.old'; update people set email = 'p' || id % 9 + 1 || '@example.org';"


def test_a_value_in_a_ring_that_an_application_has_taken(scenario: Scenario) -> None:
    """Only what that stands in the way of stays, and is listed: row 4, whose value is taken, and row 5, whose value row 4 keeps, and so on."""
    scenario.begin(PEOPLE).migrate(RING + "update people set born = null").application(
        "update people set email = 'mine' where id = 3; insert into people values (50, 'p4@example.org', 'mine')"
    )
    scenario.generate()
    record = scenario.execute()
    rows = dict(scenario.rows("select id, email from people"))
    assert rows == {1: "p2@example.org", 2: "p3@example.org", 3: "mine"} | {
        key: f"p{key % 9 + 1}@example.org" for key in range(4, 10)
    } | {50: "p4@example.org"}
    listed = {(entry["key"]["id"], entry["action"]) for entry in scenario.entries(execution=record)}
    assert listed == {(str(key), "conflict_kept") for key in (1, 2, 4, 5, 6, 7, 8, 9)}
    scenario.verify()


def test_values_that_others_follow_are_listed(scenario: Scenario) -> None:
    """Moved by way of others, or later than rows that refer to them, they would take rows along that are back already."""
    scenario.begin(
        "create table codes (id int primary key, code text unique); insert into codes select n, 'c' || n from generate_series(1, 6) n;"
        "create table uses (id int primary key, code text references codes (code) on update cascade);"
        "insert into uses select n, 'c' || n from generate_series(1, 6) n"
    ).migrate("update codes set code = code || 'x'; update codes set code = 'c' || id % 6 + 1").application(
        "insert into uses values (90, 'c3')"
    )
    scenario.generate()
    record = scenario.execute()
    assert scenario.rows("select id, code from uses order by id") == [*((n, f"c{n}") for n in range(1, 7)), (90, "c3")]
    assert {entry["scope"] for entry in scenario.entries(execution=record)} == {"public.codes"}


def test_a_long_chain_of_which_an_application_holds_the_end(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt would free one row: after so many all that is left is listed, and nothing is lost."""
    monkeypatch.setattr(parking, "_MOST_MOVED", 100)
    scenario.begin(
        "create table t (id int primary key, pos int unique); insert into t select n, n from generate_series(1, 40) n"
    )
    scenario.migrate("update t set pos = pos + 1000; update t set pos = pos - 999").application(
        "insert into t values (99, 1)"
    )
    scenario.generate()
    record = scenario.execute()
    assert scenario.rows("select count(*) from t where pos = id + 1") == [(40,)]
    entries = scenario.entries(execution=record)
    assert {int(entry["key"]["id"]) for entry in entries} == set(range(1, 41))
    reasons = {entry["reason"].partition(": ")[2].partition(" ")[0] for entry in entries}
    assert reasons == {"duplicate", "others"}  # what the server said of some, and that of the rest nothing was tried


def test_values_that_cannot_be_parked_are_listed(scenario: Scenario) -> None:
    """Of a type that has no others to give, or of which a check allows no others."""
    scenario.begin(
        "create type e as enum ('a', 'b'); create table u (id int primary key, v e not null unique); insert into u values (1, 'a'), (2, 'b');"
        "create table w (id int primary key, v text not null unique check (v in ('a', 'b', 'c'))); insert into w values (1, 'a'), (2, 'b')"
    ).migrate(
        "delete from u; insert into u values (1, 'b'), (2, 'a');"
        "update w set v = 'c' where id = 1; update w set v = 'a' where id = 2; update w set v = 'b' where id = 1"
    )
    scenario.generate()
    record = scenario.execute()
    assert scenario.rows("select u.v::text, w.v from u join w using (id) order by id") == [("b", "b"), ("a", "a")]
    listed = {(entry["scope"], entry["key"]["id"]) for entry in scenario.entries(execution=record)}
    assert listed == {(f"public.{table}", key) for table in "uw" for key in "12"}
