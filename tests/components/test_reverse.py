"""What a reversal says beside its DDL: refusals, notes, which table and column is which, conversions that rows may forbid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest

from rollback_provider.components.postgres.reversal import Reversal, TableChange
from rollback_provider.components.postgres.reverse import Retyped, retyped, reverse
from tests.components.fix.rollback import read_catalog, run_reversal, statements_of
from tests.fix_postgres import Database

_SECRETS = """
    create foreign data wrapper w; create server s foreign data wrapper w options (host 'a', password 'p');
    create user mapping for public server s options (user 'u', password 'p'); create foreign table f (a int options (token 't')) server s"""
REFUSED = {
    "base type": (
        "",
        """create type b; create function b_in(cstring) returns b language internal immutable strict as 'int4in';
        create function b_out(b) returns cstring language internal immutable strict as 'int4out';
        create type b (input = b_in, output = b_out, like = int)""",
        "base type public.b was added by the migration: base types are not dropped",
    ),
    "text search template": (
        "create text search template t (lexize = dsimple_lexize)",
        "drop text search template t",
        "text search template public.t was dropped by the migration: text search templates are not brought back",
    ),
    "text search parser": (
        "create text search parser p (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype)",
        "alter text search parser p rename to q",
        "text search parser public.p was changed by the migration: text search parsers are not brought back",
    ),
    "subscription": (
        "create subscription s connection 'dbname=x' publication p with (connect = false, slot_name = none)",
        "drop subscription s",
        "subscription s was dropped by the migration: subscriptions are not brought back",
    ),
    "server with a secret": (
        _SECRETS,
        "drop foreign table f; drop user mapping for public server s; drop server s",
        "foreign server s: option password is gone with it; it may be a secret and is not in the snapshot."
        " Put it back by hand, then plan again",
    ),
    "secret of a user mapping": (
        _SECRETS,
        "alter user mapping for public server s options (set password 'q')",
        "user mapping s.public: option password was changed; it may be a secret and is not in the snapshot."
        " Put it back by hand, then plan again",
    ),
    "secret of a column": (
        _SECRETS,
        "drop foreign table f",
        "column public.f.a: option token is gone with it; it may be a secret and is not in the snapshot. Put it back by hand, then plan again",
    ),
    "server of a foreign table": (
        _SECRETS,
        "drop foreign table f; create server other foreign data wrapper w; create foreign table f (a int) server other",
        "table public.f has another server than before: it would have to be made anew",
    ),
    "column in the middle of a typed table": (
        "create type pair as (a int, b int); create table t of pair",
        "alter type pair drop attribute a cascade",
        "table public.t is OF public.pair, whose order its columns must have: a dropped one would come back last",
    ),
}


def plan(database: Database, setup: str, migration: str, schemas: list[str] | None = None) -> Reversal:
    database.run(setup)
    then = read_catalog(database, schemas)
    database.run(migration)
    return reverse(then, read_catalog(database, schemas))


def change(reversal: Reversal, scope: str) -> TableChange:
    return next(change for change in reversal.tables if change.then.scope == scope)


def probe(database: Database, table: str, column: Retyped) -> list[tuple[object, ...]]:
    return database.rows(f"select {column.expression} from public.{table}")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_brought_back_is_refused_by_name(database: Database, name: str) -> None:
    setup, migration, sentence = REFUSED[name]
    assert sentence in plan(database, setup, migration).refusals


def test_what_takes_a_superuser_is_refused_to_others(database: Database) -> None:
    database.run(f"create role {database.name} login; create publication p for all tables")
    then = read_catalog(database)
    database.run("drop publication p")
    other = replace(database, user=database.name)
    (refusal,) = reverse(then, read_catalog(other)).refusals
    assert refusal == "publication p was changed or dropped by the migration: to bring it back takes a superuser"
    assert reverse(then, read_catalog(database)).refusals == ()
    database.run(f"drop role {database.name}")


def test_what_lies_outside_the_schemas_is_refused_by_name(database: Database) -> None:
    setup = "create schema mine; create schema other; create table mine.t (a int); insert into mine.t values (1)"
    migration = "alter table mine.t alter a type bigint; create view other.v as select a from mine.t"
    (refusal,) = plan(database, setup, migration, ["mine"]).refusals
    assert refusal == "view other.v needs column mine.t.a and lies outside the schemas that are rolled back"


def test_renames_are_known_by_identity(database: Database) -> None:
    setup = "create table t (a int primary key, b int, c int); insert into t values (1, 2, 3)"
    reversal = plan(
        database,
        setup,
        "alter table t rename b to x; alter table t rename c to b; alter table t rename to u; create table t (a int)",
    )
    found = change(reversal, "public.t")
    assert (found.now.name, found.columns, found.added, found.by_name) == ("u", {1: 1, 2: 2, 3: 3}, frozenset(), False)
    assert [table.name for table in reversal.dropped] == ["t"]
    assert not reversal.recreations
    run_reversal(database, reversal)
    assert database.rows("select a, b, c from t") == [(1, 2, 3)]


def test_dropped_and_added_again_is_another_column(database: Database) -> None:
    found = change(
        plan(database, "create table t (a int, b text)", "alter table t drop b; alter table t add b int, add c int"),
        "public.t",
    )
    assert (found.columns, found.added, found.retyped) == ({1: 1, 2: None}, frozenset({3, 4}), frozenset())


def test_a_table_made_again_is_matched_by_name(database: Database) -> None:
    setup = "create table t (a int primary key, b text)"
    reversal = plan(database, setup, "drop table t; create table t (b varchar(9), x int, a int primary key)")
    found = change(reversal, "public.t")
    assert (found.by_name, found.columns, found.added, found.retyped) == (
        True,
        {1: 3, 2: 1},
        frozenset({2}),
        frozenset({2}),
    )
    assert (
        "table public.t is not the one of the snapshot: it was made again, and is matched by its name and key"
        in reversal.notes
    )


def test_physical_order_is_noted(database: Database) -> None:
    (note,) = plan(database, "create table t (a int, b text, c int)", "alter table t drop a, drop b").notes
    assert (
        note
        == "table public.t: the columns come back in another physical order (a, b last); name columns in INSERT and COPY"
    )


def test_sequences_made_again(database: Database) -> None:
    setup = 'create table "T" (a serial, b int generated always as identity); create sequence kept'
    reversal = plan(database, setup, 'drop table "T"; alter sequence kept rename to other')
    assert reversal.sequences == ('"public"."T_a_seq"', '"public"."T_b_seq"')


def test_locks_are_told(database: Database) -> None:
    setup = "create table p (a int primary key); create table t (a int references p, b text, c text); create index i on t (b)"
    reversal = plan(
        database,
        setup,
        "drop index i; alter table t drop c; alter table t drop constraint t_a_fkey; create view v as select 1",
    )
    locks = {statement.sql.split(" (")[0]: statement.locks for statement in statements_of(reversal)}
    assert locks['ALTER TABLE "public"."t" ADD COLUMN "c" text'] == "AccessExclusive on public.t"
    assert locks["CREATE INDEX i ON public.t USING btree"] == "Share on public.t"
    assert (
        locks['ALTER TABLE "public"."t" ADD CONSTRAINT "t_a_fkey" FOREIGN KEY']
        == "ShareRowExclusive on public.t, public.p"
    )
    assert (
        locks['ALTER TABLE "public"."t" VALIDATE CONSTRAINT "t_a_fkey"']
        == "ShareUpdateExclusive on public.t, RowShare on public.p"
    )
    assert locks['DROP VIEW "public"."v"'] == "AccessExclusive on public.v"


CONVERSIONS = [
    ("varchar(5)", "text", "fits", "too long for it"),
    ("char(3)", "text", "abc", "abcd"),
    ("varchar(5)[]", "text", "{a,b}", "{a"),
    ("integer", "text", "12", "twelve"),
    ("integer", "bigint", "1", "3000000000"),
    ("smallint", "numeric", "1.4", "70000"),
    ("numeric(4,2)", "numeric", "12.345", "123"),
    ("date", "text", "2026-11-23", "soon"),
    ("boolean", "integer", "1", None),
    ("timestamp", "timestamptz", "2026-11-23", None),
    ("jsonb", "text", '{"a": 1}', "{"),
    ("bit(3)", "text", "101", "1010"),
    ("mood", "text", "good", "strange"),
    ("small", "bigint", "3", "30"),
]


@pytest.mark.parametrize(
    ("was", "is_", "fits", "fails"), CONVERSIONS, ids=[f"{is_} to {was}" for was, is_, _, _ in CONVERSIONS]
)
def test_expressions_fail_exactly_where_conversions_do(
    database: Database, was: str, is_: str, fits: str, fails: str | None
) -> None:
    database.run(
        f"create type mood as enum ('good', 'bad'); create domain small as int check (value < 10); create table t (c {was})"
    )
    then = read_catalog(database)
    database.run(
        f"alter table t alter c type {is_} using c::text::{is_}; alter table t rename c to renamed; alter table t rename to u"
    )
    with database.connect() as connection:
        connection.execute("insert into u values (%s)", [fits])
    now = read_catalog(database)
    (found,) = retyped(then, now)
    assert (found.table.name, found.column, found.number) == ("u", "renamed", 1)
    assert len(probe(database, "u", found)) == 1
    if fails is not None:
        with database.connect() as connection:
            connection.execute("update u set renamed = %s", [fails])
        with pytest.raises(psycopg.Error):
            probe(database, "u", found)
        with pytest.raises(AssertionError):
            run_reversal(database, reverse(then, now))
        empty = reverse(then, now, unconvertible=frozenset({(found.oid, found.number)}))
        run_reversal(database, empty)
        assert database.rows("select c from t") == [(None,)]


def test_labels_that_rows_use_are_noticed(database: Database) -> None:
    database.run("create type mood as enum ('good', 'bad'); create table t (m mood)")
    then = read_catalog(database)
    database.run("alter type mood add value 'ugly'")
    database.run("insert into t values ('good')")
    (found,) = retyped(then, read_catalog(database))
    probe(database, "t", found)
    database.run("insert into t values ('ugly')")
    with pytest.raises(psycopg.errors.DivisionByZero):
        probe(database, "t", found)


def test_a_key_that_cannot_be_converted_is_emptied(database: Database) -> None:
    database.run(
        "create table t (a int primary key, b int); insert into t values (1, 1), (2, 2); create table c (a int references t)"
    )
    then = read_catalog(database)
    database.run(
        "alter table c drop constraint c_a_fkey; alter table t alter a type text; alter table c alter a type text"
    )
    database.run("alter table c add foreign key (a) references t; update t set a = 'x' || a")
    now = read_catalog(database)
    table = then.tables()[1]
    reversal = reverse(then, now, unconvertible=frozenset({(table.oid, 1)}))
    with database.connect() as connection, connection.transaction():
        for statement in reversal.prepare:
            connection.execute(statement.sql)
    assert database.rows("select a, b from t order by b") == [(None, 1), (None, 2)]
    database.run("update t set a = b")
    with database.connect() as connection:
        for statement in reversal.finish:
            connection.execute(statement.sql)
    assert read_catalog(database).fingerprint() == then.fingerprint()


def test_prepare_lets_old_rows_in(database: Database) -> None:
    reversal = plan(
        database,
        "create table t (a int, b text); create table p (a int primary key)",
        """alter table t add c int not null default 1, alter a set not null, add check (a > 0), add unique (b);
        alter table t add foreign key (a) references p;
        create function f() returns trigger language plpgsql as 'begin raise ''fired''; end';
        create trigger tr before insert on t for each row execute function f()""",
    )
    with database.connect() as connection:
        for statement in reversal.prepare:
            connection.execute(statement.sql)
    database.run("insert into t values (null, 'x'), (-1, 'x')")


def test_a_dropped_table_takes_rows_before_its_keys(database: Database) -> None:
    setup = """
        create table p (id int primary key); create index on p (id);
        create table t (id bigint generated always as identity primary key, p int references p, n int check (n > 0));
        create index on t (n)"""
    reversal = plan(database, setup, "drop table t, p")
    assert [recreation.table.name for recreation in reversal.recreations] == ["p", "t"]
    for recreation in reversal.recreations:
        text = " ".join(statement.sql for statement in recreation.create)
        assert not any(word in text for word in ("PRIMARY KEY", "INDEX", "REFERENCES", "CHECK"))
    complete = [statement.sql for statement in reversal.recreations[1].complete]
    assert [part for sql in complete for part in ("PRIMARY KEY", "CHECK", "CREATE INDEX") if part in sql] == [
        "PRIMARY KEY",
        "CHECK",
        "CREATE INDEX",
    ]
    assert any("REFERENCES" in statement.sql for statement in reversal.finish)


def test_catalogs_of_two_databases_are_compared_by_name(make_database: Callable[[], Database]) -> None:
    one, other = make_database(), make_database()
    one.run("create table t (a int, b text default 'x' not null); create view v as select a from t")
    other.run("create table x (a int); create table t (b varchar(9), a int); create view v as select a from t")
    reversal = reverse(read_catalog(one), read_catalog(other))
    assert change(reversal, "public.t").by_name
    run_reversal(other, reversal)
    assert read_catalog(other).fingerprint() == read_catalog(one).fingerprint()


def test_inheritance_put_back_keeps_the_column_defined_in_both(database: Database) -> None:
    setup = "create table p (a int); create table c (b int) inherits (p)"
    reversal = plan(database, setup, "alter table c no inherit p")
    run_reversal(database, reversal)
    assert database.rows("select inhparent::regclass::text from pg_inherits") == [("p",)]
    assert (
        "column public.c.a is defined in the table itself as well, since it was cut off from its parent"
        in reversal.notes
    )
