"""The catalog: lossless as JSON, compared by name, limited to its schemas, readable by an ordinary role."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest

from rollback_provider.components.postgres.catalog import Catalog, capture, differences
from rollback_provider.components.postgres.reverse import reverse
from rollback_provider.core.errors import ConfigurationError
from tests.components.fix.ddl_cases import part
from tests.components.fix.rollback import read_catalog
from tests.fix_postgres import Database

EVERYTHING = part("everything")

SMALL_CHANGES = {
    "alter table orders rename note to remark": "column public.orders.note is gone",
    "alter table orders alter total type numeric(10,2)": "column public.orders.total is numeric(10,2), was numeric(12,2)",
    "alter table orders alter total drop not null": "column public.orders.total is nullable, was NOT NULL",
    "alter table orders alter status set default 'open'": "default public.orders.status is 'open'::text, was 'new'::text",
    "alter table orders alter note set storage external": "column public.orders.note: storage is external, was none",
    "alter table orders alter id set generated always": "column public.orders.id: identity is always, was by default",
    "alter table orders set (fillfactor = 50)": "table public.orders: storage parameters is fillfactor=50, was none",
    "alter table orders set unlogged": "table public.orders: unlogged is yes, was none",
    "alter table orders enable row level security": "table public.orders: row security is yes, was none",
    "alter table orders owner to reader": "table public.orders: owner is reader, was postgres",
    "comment on column orders.note is 'N'": "column public.orders.note: comment is N, was none",
    "revoke select on things from reader": "table public.things: granted privileges is none, was reader SELECT",
    "alter table orders drop constraint total_positive": "constraint public.orders.total_positive is gone",
    "alter table orders rename constraint total_positive to sane": "constraint public.orders.sane is new",
    "alter index orders_status rename to by_status": "index public.by_status is new",
    "alter type mood add value 'ugly'": "enum public.mood: labels is good, bad, ugly, was good, bad",
    "alter domain positive drop constraint positive_check": (
        "domain public.positive: checks is none, was positive_check CHECK ((VALUE > 0))"
    ),
    "alter type pair add attribute c int": "composite type public.pair: attributes is a integer, b text, c integer, was a integer, b text",
    "alter sequence numbers increment 2": "sequence public.numbers: increment is 2, was 1",
    "alter table orders disable trigger tr": "trigger public.orders.tr: enabled is disabled, was none",
    "alter table customers disable rule r": "rule public.customers.r: enabled is disabled, was none",
    "alter statistics s set statistics 9": "statistics public.s: target is 9, was none",
    "create operator <+> (leftarg = int, rightarg = int, function = int4pl)": "operator public.<+>.integer, integer is new",
    "create schema other": "schema other is new",
    "create extension citext": "extension citext is new",
}


def test_json_is_lossless(database: Database) -> None:
    database.run(EVERYTHING)
    catalog = read_catalog(database)
    assert Catalog.from_json(json.loads(json.dumps(catalog.to_json()))) == catalog


def test_equal_schemas_have_equal_fingerprints(make_database: Callable[[], Database]) -> None:
    one, other = make_database(), make_database()
    one.run(EVERYTHING)
    other.run("create table waste (a int); drop table waste;" + EVERYTHING)
    a, b = read_catalog(one), read_catalog(other)
    assert not a.same_database(b)
    assert differences(a, b) == []
    assert a.fingerprint() == b.fingerprint()


def test_physical_order_of_columns_is_no_difference(make_database: Callable[[], Database]) -> None:
    one, other = make_database(), make_database()
    one.run("create table t (a int not null, b text default 'x', c int); create index i on t (b)")
    other.run(
        "create table t (c int, x int, b text default 'x', a int not null); create index i on t (b); alter table t drop x"
    )
    assert read_catalog(one).fingerprint() == read_catalog(other).fingerprint()


@pytest.mark.parametrize("change", SMALL_CHANGES)
def test_every_small_change_is_named(database: Database, change: str) -> None:
    database.run(
        EVERYTHING.replace("create materialized view m as select id from orders;", "").replace(
            part("shop"), part("empty_shop")
        )
    )
    database.run("drop view order_totals; drop policy p on orders" if "alter total type" in change else "select 1")
    then = read_catalog(database)
    database.run(change)
    now = read_catalog(database)
    assert SMALL_CHANGES[change] in differences(then, now)
    assert then.fingerprint() != now.fingerprint()


def test_tables_for_the_data_half(database: Database) -> None:
    database.run("""
        create table p (x int, y text, primary key (y, x)); alter table p drop column x cascade;
        alter table p add x int, add primary key (x, y);
        create table c (id int generated always as identity, a int not null, b text default 'q', d int generated always as (a + 1) stored,
            u int unique, unique (a), foreign key (u, b) references p (x, y));
        create unlogged table u (a int, b int not null); create unique index on u (a); create unique index on u (b) where a > 0;
        create function f() returns trigger language plpgsql as 'begin return new; end';
        create trigger tr before insert on c for each row execute function f()""")
    c, p, u = read_catalog(database).tables()
    assert (c.scope, p.scope, u.scope) == ("public.c", "public.p", "public.u")
    assert [
        (column.name, column.type, column.nullable, column.default, column.generated, column.identity)
        for column in c.columns
    ] == [
        ("id", "integer", False, None, "", "a"),
        ("a", "integer", False, None, "", ""),
        ("b", "text", True, "'q'::text", "", ""),
        ("d", "integer", True, None, "s", ""),
        ("u", "integer", True, None, "", ""),
    ]
    assert (p.key, c.key, u.key) == ((3, 2), (2,), ())
    (key,) = c.foreign_keys
    assert (key.columns, key.references, key.references_columns) == ((5, 3), p.oid, (3, 2))
    assert (c.row_triggers, p.row_triggers, c.logged, u.logged) == (True, False, True, False)
    assert c.filenode == database.rows("select pg_relation_filenode('c')")[0][0]


def test_leaf_partitions_are_tables_and_parents_are_not(database: Database) -> None:
    database.run(part("partitioned"))
    assert [table.name for table in read_catalog(database).tables()] == ["p1", "p2", "pd", "r"]


def test_sequences(database: Database) -> None:
    database.run("create table t (a serial, b int generated always as identity); create sequence s")
    assert [(sequence.schema, sequence.name) for sequence in read_catalog(database).sequences()] == [
        ("public", "s"),
        ("public", "t_a_seq"),
        ("public", "t_b_seq"),
    ]


def test_only_the_schemas_asked_for(database: Database) -> None:
    database.run("create schema a; create schema b; create table a.t (a int); create table b.t (a int)")
    names = {entry.name for entry in read_catalog(database, ["a"]).entries if entry.kind in {"schema", "table"}}
    assert names == {("a",), ("a", "t")}


def test_unknown_schema(database: Database) -> None:
    with pytest.raises(ConfigurationError, match="no schema 'nowhere'"):
        read_catalog(database, ["public", "nowhere"])


def test_schemas_are_followed_by_identity(database: Database) -> None:
    database.run("create schema a; create schema gone; create table a.t (a int); create table a.u (a int)")
    then = read_catalog(database, ["a", "gone"])
    database.run("""
        alter schema a rename to b; drop schema gone; create schema archive; create table archive.stranger (a int);
        alter table b.u set schema archive""")
    now = read_catalog(database, ["a", "gone"], since=then)
    assert {entry.name for entry in now.entries if entry.kind in {"schema", "table"}} == {
        ("b",),
        ("b", "t"),
        ("archive", "u"),
    }


def test_what_belongs_to_an_extension_is_not_looked_at(database: Database) -> None:
    database.run("create extension citext")
    assert {entry.kind for entry in read_catalog(database).entries} == {"schema", "extension"}


def test_secrets_of_foreign_data_are_not_read(database: Database) -> None:
    value = "hunter2 hunter2"
    options = f"options (user 'u', password '{value}', host 'h')"
    database.run(
        f"create foreign data wrapper w {options}; create server s foreign data wrapper w {options};"
        f"create user mapping for public server s {options};"
        f"create foreign table f (a int options (my_secret '{value}')) server s options (pwd '{value}', file 'f')"
    )
    text = json.dumps(read_catalog(database).to_json())
    assert value not in text
    assert text.count('"user": "u"') == 3
    assert '"file": "f"' in text
    before = read_catalog(database)
    database.run("alter user mapping for public server s options (set password 'other')")
    (difference,) = differences(before, read_catalog(database))
    assert difference.startswith("user mapping s.public: hidden options is password ")


def test_mappings_that_the_role_cannot_read_are_known_by_name(database: Database) -> None:
    name = database.name
    database.run(
        f"create role {name} login; create foreign data wrapper w; create server s foreign data wrapper w;"
        "create user mapping for public server s options (user 'u')"
    )
    then = read_catalog(replace(database, user=name))
    (mapping,) = (entry for entry in then.entries if entry.kind == "user mapping")
    assert (mapping.facts, mapping.extra) == ({}, {"readable": False})
    database.run("drop user mapping for public server s")
    assert reverse(then, read_catalog(replace(database, user=name))).refusals == (
        "user mapping s.public was dropped by the migration: its options could not be read when the snapshot was taken",
    )
    database.run(f"drop role {name}")


def test_an_ordinary_owner_can_read_it(database: Database) -> None:
    database.run(
        f"drop role if exists {database.name}; create role {database.name} login; create schema mine authorization {database.name}"
    )
    with psycopg.connect(database.dsn, user=database.name, autocommit=True) as connection:
        connection.execute(
            "create table mine.t (a int primary key, b text default 'x'); create view mine.v as select a from mine.t"
        )
        connection.execute("set search_path = pg_catalog")
        catalog = capture(connection, None)
    assert [table.scope for table in catalog.tables()] == ["mine.t"]
    database.run(f"drop owned by {database.name}; drop role {database.name}")
