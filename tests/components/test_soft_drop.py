"""Soft drops: applications meet what they would meet after a real drop, and the way back is a rename."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
import pytest

from rollback_provider.components.postgres import steps
from rollback_provider.components.postgres.applying.ddl import Ddl
from rollback_provider.components.postgres.reserved import DropRecord
from rollback_provider.components.postgres.soft_drop import soft_drop_column, soft_drop_table
from rollback_provider.core.errors import UnsupportedError
from rollback_provider.core.repository import Store
from tests.components.fix.ddl_cases import part
from tests.components.fix.schema_text import schema_text
from tests.components.scenario import Scenario
from tests.fix_postgres import Database

Drop = Callable[[psycopg.Connection[Any]], object]


def column(table: str, name: str, **options: Any) -> Drop:
    return lambda connection: soft_drop_column(connection, table, name, **options)


def table(name: str, **options: Any) -> Drop:
    return lambda connection: soft_drop_table(connection, name, **options)


@pytest.fixture
def scenario(database: Database, memory_store: Store) -> Scenario:
    """A database and a store."""
    return Scenario(database, memory_store)


def everything(database: Database) -> dict[str, Any]:
    """All rows of all tables, and where each lies: a row that was written again lies elsewhere."""
    tables = database.rows(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname !~ '^(pg_|information_schema)' order by 1"
    )
    return {name: database.rows(f"select ctid::text, t::text from only {name} t order by 1") for (name,) in tables}


class Case(NamedTuple):
    """A soft drop, what applications can do afterwards, and what not, as after a real drop."""

    name: str
    setup: str
    drop: Drop
    real: str
    writes: str
    fails: str


SHOP = part("shop")
KINDS = "create type mood as enum ('good', 'bad'); create domain code as varchar(9);"
CASES = [
    Case(
        "column",
        SHOP,
        column("orders", "note"),
        "alter table orders drop column note",
        "insert into orders (customer_id) values (1)",
        "select note from orders",
    ),
    Case(
        "column with default, comment, privileges and storage",
        part("roles") + "create table t (id int primary key, a text not null default 'x' check (a <> ''), b int);"
        "alter table t alter a set storage external, alter a set statistics 7; comment on column t.a is 'It''s {\"softDrop\": 1}';"
        "grant select (a) on t to reader; insert into t select n, 'v' || n, n from generate_series(1, 5) n;",
        column("t", "a"),
        "alter table t drop column a",
        "insert into t (id) values (9); update t set b = 7; delete from t where id = 1",
        "update t set a = 'x'",
    ),
    Case(
        "column with indexes",
        "create table t (id int primary key, a int not null, b int, c text);"
        "create index on t (a); create index t_a_b on t (a, b); create index t_lower on t ((a + 1)); create index t_part on t (b) where a > 0;"
        "create unique index t_ab on t (b, a); create unique index t_a_part on t (a) where b > 1; create statistics s on a, b from t;"
        "insert into t select n, n / 3, n % 3, 'c' from generate_series(1, 9) n;",
        column("t", "a"),
        "alter table t drop column a",
        "insert into t (id) values (20), (21); update t set b = 1; insert into t (id, b) values (22, 1);"
        "create unique index t_a_key on t (c, id); create index t_a_idx on t (b); drop index t_a_key, t_a_idx; update t set b = 2",
        "drop index t_a_b",
    ),
    Case(
        "unique column",
        "create table t (id int primary key, a int not null unique); insert into t values (1, 1);",
        column("t", "a"),
        "alter table t drop column a",
        "insert into t (id) values (2), (3); create unique index t_a_key on t (id); drop index t_a_key",
        "alter table t drop constraint t_a_key",
    ),
    Case(
        "column with foreign key",
        "create table p (id int primary key); insert into p values (1), (2);"
        "create table t (id int primary key, p int not null references p, q int, foreign key (p, q) references p2 match full);"
        "insert into t values (1, 1, 1), (2, 2, 2);".replace(
            "create table t",
            "create table p2 (a int, b int, primary key (a, b)); insert into p2 values (1, 1), (2, 2); create table t",
        ),
        column("t", "p"),
        "alter table t drop column p",
        "insert into t (id, q) values (3, 1)",
        "alter table t drop constraint t_p_fkey",
    ),
    Case(
        "primary key",
        "create table t (id int primary key, a text unique); insert into t values (1, 'a'), (2, 'b');",
        column("t", "id"),
        "alter table t drop column id",
        "alter table t add uuid uuid default gen_random_uuid() primary key; alter table t drop column uuid",
        "insert into t (id) values (1)",
    ),
    Case(
        "identity",
        "create table t (id int generated always as identity primary key, a text unique); insert into t (a) values ('a'), ('b');",
        column("t", "id"),
        "alter table t drop column id",
        "insert into t values (default, 'c')".replace("values (default, 'c')", "(a) values ('c')")
        + "; create sequence t_id_seq; drop sequence t_id_seq",
        "select id from t",
    ),
    Case(
        "serial",
        "create table t (id serial unique, a text primary key); insert into t (a) values ('a'), ('b');",
        column("t", "id"),
        "alter table t drop column id",
        "insert into t (a) values ('c'); create sequence t_id_seq; drop sequence t_id_seq",
        "select nextval('t_id_seq')",
    ),
    Case(
        "enum, array and domain",
        KINDS + "create table t (id int primary key, m mood not null, c code[], d code not null);"
        "insert into t values (1, 'good', '{a,b}', 'x');",
        lambda connection: [soft_drop_column(connection, "t", name) for name in "mcd"],
        "alter table t drop column m, drop column c, drop column d",
        "insert into t (id) values (2)",
        "select m from t",
    ),
    Case(
        "unique with a default",
        "create table t (id int primary key, a text default 'x' unique); insert into t values (1, 'y');",
        column("t", "a"),
        "alter table t drop column a",
        "insert into t (id) values (2), (3)",
        "select a from t",
    ),
    Case(
        "replica identity",
        "create table t (id int primary key, a int not null); create unique index t_a on t (a); alter table t replica identity using index t_a;"
        "insert into t values (1, 1);",
        column("t", "a"),
        "alter table t drop column a",
        "insert into t (id) values (2)",
        "drop index t_a",
    ),
    Case(
        "exclusion and checks over several columns",
        "create table t (id int primary key, a int not null, b int, check (a < b), constraint one exclude (a with =), check (a is not null));"
        "insert into t values (1, 1, 2), (2, 2, 3);",
        column("t", "a"),
        "alter table t drop column a",
        "insert into t (id) values (3), (4); update t set b = 0",
        "alter table t drop constraint one",
    ),
    Case(
        "partitioned column",
        part("partitioned") + "insert into p values (1, '2025-05-05'), (2, '2026-05-05'), (3, '2030-01-01');"
        "alter table p alter note drop default; alter table p2 alter note drop default, alter note set not null, add check (note <> ''); create index on p2 (note);",
        column("p", "note"),
        "alter table p drop column note",
        "insert into p values (4, '2025-05-06'), (5, '2026-05-06')",
        "select note from p1",
    ),
    Case(
        "inherited column",
        "create table a (id int primary key, x int not null default 3, y int not null); create table b (z int) inherits (a);"
        "insert into a values (1, 1, 1); insert into b values (2, 2, 2, 2);",
        column("a", "y"),
        "alter table a drop column y",
        "insert into a (id) values (3); insert into b (id) values (4)",
        "select y from b",
    ),
    Case(
        "names",
        'create schema "Ü"; create table "Ü"."select" (id int primary key, "quo""te % é" text not null unique);'
        """insert into "Ü"."select" values (1, 'x')""",
        column("select", 'quo"te % é', schema="Ü"),
        'alter table "Ü"."select" drop column "quo""te % é"',
        'insert into "Ü"."select" (id) values (2)',
        'select "quo""te % é" from "Ü"."select"',
    ),
    Case(
        "long names",
        f"create table {'t' * 63} (id int primary key, {'ä' * 31} text not null unique); insert into {'t' * 63} values (1, 'x')",
        column("t" * 63, "ä" * 31),
        f"alter table {'t' * 63} drop column {'ä' * 31}",
        f"insert into {'t' * 63} (id) values (2)",
        f"select {'ä' * 31} from {'t' * 63}",
    ),
    Case(
        "table",
        SHOP + "drop view order_totals;",
        table("orders"),
        "drop table orders",
        "delete from customers; create table orders (id int primary key); drop table orders",
        "insert into orders (customer_id) values (1)",
    ),
    Case(
        "table with everything",
        part("trigger") + "create table p (id int primary key); insert into p values (1), (2);"
        "create table t (id serial primary key, g int generated always as identity unique, p int not null references p,"
        " up int references t, a text default 'x' check (a <> ''), h int generated always as (p * 2) stored);"
        "create index on t (p, a); create statistics s on p, a from t; comment on table t is 'the table'; comment on column t.a is 'the column';"
        "create trigger tr before insert on t for each row execute function f(); alter table t enable row level security;"
        "create policy only_one on t using (id = 1); create rule r as on delete to t do also select 1;"
        "insert into t (p, up) values (1, null), (2, 1);",
        table("t"),
        "drop table t",
        "delete from p; create table t (id serial primary key, g int unique, p int, a text); create index on t (p, a);"
        "create statistics s on p, a from t; drop table t",
        "select * from t",
    ),
    Case(
        "partitioned table",
        part("partitioned") + "drop table r; insert into p values (1, '2025-05-05'), (2, '2026-05-05');",
        table("p"),
        "drop table p",
        "create table p (id int primary key); create table p1 (); drop table p, p1",
        "select * from p1",
    ),
    Case(
        "partition",
        part("partitioned") + "drop table r; insert into p values (1, '2025-05-05'), (2, '2026-05-05');",
        table("p1"),
        "drop table p1",
        "insert into p values (7, '2026-07-07'); do 'begin assert (select count(*) from p) = 2; end'",
        "select * from p1",
    ),
    Case(
        "long table name",
        f"create table {'é' * 31} (id serial primary key); insert into {'é' * 31} values (1)",
        table("é" * 31),
        f"drop table {'é' * 31}",
        f"create table {'é' * 31} (id serial primary key); drop table {'é' * 31}",
        f"select * from {'é' * 31}",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_do_undo_redo(scenario: Scenario, make_database: Callable[[], Database], case: Case) -> None:
    """What applications can do is the same as after a real drop; then schema and rows are as they were, and no row was written."""
    database = scenario.database
    scenario.begin(case.setup)
    text, rows = schema_text(database), everything(database)
    for _ in range(2):
        with scenario.observed() as connection:
            case.drop(connection)
        scenario.back()
        assert schema_text(database) == text
        assert everything(database) == rows
        scenario.begin("select 1")
    with scenario.observed() as connection:
        case.drop(connection)
    judge = make_database()
    judge.run(case.setup)
    judge.run(case.real)
    errors = []
    for each in (database, judge):
        each.run(case.writes)
        with pytest.raises(psycopg.Error) as raised:
            each.run(case.fails)
        errors.append((type(raised.value), raised.value.diag.message_primary))
    assert errors[0] == errors[1]


def test_a_child_comes_back_as_a_child(scenario: Scenario) -> None:
    """Its rows are not among the parent's meanwhile. PostgreSQL cannot say again that it defines no column itself: noted."""
    scenario.begin(
        "create table a (id int primary key, x int); create table b (z int) inherits (a);"
        "insert into a values (1, 1); insert into b values (2, 2, 2)"
    )
    with scenario.observed() as connection:
        soft_drop_table(connection, "b")
    assert scenario.rows("select id from a") == [(1,)]
    scenario.back()
    assert scenario.rows("select id from a order by 1") == [(1,), (2,)]
    assert scenario.plan
    assert "defined in the table itself as well" in scenario.plan.components[0].notes[0]


def test_the_record(scenario: Scenario) -> None:
    """On the object itself: what it was called, its comment, when, and for which migration."""
    scenario.begin(
        SHOP + "comment on column orders.note is 'N'; comment on table customers is 'C'; drop table orders cascade;"
        "create table orders (id int primary key, note text); comment on column orders.note is 'N'"
    )
    with scenario.observed() as connection:
        column_name = soft_drop_column(connection, "orders", "note")
        table_name = soft_drop_table(connection, "customers", schema="public")
    assert (column_name, table_name.startswith("rollback_dropped_"), table_name.endswith("_customers")) == (
        "rollback_dropped_2_note",
        True,
        True,
    )
    (comments,) = scenario.rows(
        f"select col_description('orders'::regclass, 2), obj_description('{table_name}'::regclass)"
    )
    records = [DropRecord.from_comment(comment) for comment in comments]
    assert [(each.name, each.comment, each.snapshot) for each in records if each] == [
        ("note", "N", scenario.snapshot_id),
        ("customers", "C", scenario.snapshot_id),
    ]
    assert all(each and abs((datetime.now(UTC) - each.time).total_seconds()) < 600 for each in records)


def test_a_big_table_is_not_written(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows and the file are the same, its exclusive lock lasts for milliseconds, and what reads all rows runs apart from it."""
    scenario.begin(
        "create table big (id int primary key, v text not null check (v <> ''), p int references big);"
        "create index on big (v); insert into big select n, 'value ' || n, n from generate_series(1, 200000) n;"
        "create table gone (id int primary key, big int references big); insert into gone select n, n from generate_series(1, 20000) n"
    )
    state = "select pg_relation_filenode('big'), min(xmin::text), max(xmin::text), sum(hashtext(ctid::text)), sum(hashtext(b::text)) from big b"
    before = scenario.rows(state)
    with scenario.observed() as connection:
        soft_drop_column(connection, "big", "v")
        soft_drop_table(connection, "gone")
    scenario.generate()
    record = scenario.execute()
    scenario.verify()
    assert scenario.rows(state) == before
    first, last = record.execution.steps
    assert first.detail == "4 statements"
    assert max(first.lock_seconds.values()) < 0.5
    assert "rows" not in last.detail


def test_new_rows_are_filled(scenario: Scenario) -> None:
    """Rows written since have no value: an expression gives one, also to those written after the plan."""
    scenario.begin(SHOP)
    with scenario.observed() as connection:
        connection.execute("drop view order_totals")
        soft_drop_column(connection, "orders", "customer_id")
    scenario.application("insert into orders (total) values (7)")
    scenario.generate(fill={"public.orders.customer_id": "(select min(id) from public.customers)"})
    scenario.application("insert into orders (total) values (8)")
    scenario.execute()
    scenario.verify()
    assert scenario.rows("select customer_id from orders order by id") == [(1,), (1,), (2,), (1,), (1,)]
    assert not scenario.entries()


def test_new_rows_without_a_value_are_listed(scenario: Scenario) -> None:
    """NOT NULL is left off, listed, and missed by the verification, which names it."""
    scenario.begin("create table t (id int primary key, a int not null); insert into t values (1, 1)")
    with scenario.observed() as connection:
        soft_drop_column(connection, "t", "a")
    scenario.application("insert into t values (2)")
    scenario.generate()
    record = scenario.execute()
    (entry,) = scenario.entries(execution=record)
    assert re.search("t_a_not_null|SET NOT NULL", entry["key"]["statement"])
    with pytest.raises(AssertionError, match=r"t_a_not_null|nullable, was NOT NULL"):
        scenario.verify()


def test_a_new_column_of_the_old_name(scenario: Scenario) -> None:
    """It goes, and its values are listed as those of any new column."""
    scenario.begin(
        "create table t (id int primary key, a int not null); insert into t select n, n from generate_series(1, 3) n"
    )
    rows = scenario.rows("select *, ctid::text from t order by 1")
    with scenario.observed() as connection:
        soft_drop_column(connection, "t", "a")
        connection.execute("alter table t add a text")
    scenario.application("update t set a = 'mine' where id = 2")
    scenario.generate()
    assert [(entry["action"], entry["key"], entry["now"]) for entry in scenario.entries()] == [
        ("discarded", {"id": "2"}, {"a": "mine"})
    ]
    scenario.execute()
    scenario.verify()
    assert [row[:2] for row in scenario.rows("select * from t order by 1")] == [row[:2] for row in rows]


def test_a_new_table_of_the_old_name(scenario: Scenario) -> None:
    """It goes, and its rows are listed as those of any new table."""
    scenario.begin("create table t (id serial primary key, a int unique); insert into t (a) values (7)")
    text = schema_text(scenario.database)
    with scenario.observed() as connection:
        soft_drop_table(connection, "t")
        connection.execute("create table t (id serial primary key, a int unique)")
    scenario.application("insert into t (a) values (9)")
    scenario.back()
    assert [(entry["action"], entry["now"]["a"]) for entry in scenario.entries()] == [("discarded", "9")]
    assert scenario.rows("select id, a from t") == [(1, 7)]
    assert schema_text(scenario.database) == text


def test_parents_may_go_meanwhile(scenario: Scenario) -> None:
    """As after a real drop; the foreign key that cannot come back is named."""
    scenario.begin(
        "create table p (id int primary key); insert into p values (1), (2);"
        "create table t (id int primary key, p int references p); insert into t values (1, 1), (2, 2)"
    )
    with scenario.observed() as connection:
        soft_drop_table(connection, "t")
    scenario.application("delete from p where id = 2")
    scenario.generate()
    record = scenario.execute()
    (entry,) = scenario.entries(execution=record)
    assert "VALIDATE CONSTRAINT" in entry["key"]["statement"]
    assert scenario.rows("select id from t") == [(1,), (2,)]


@pytest.mark.parametrize(
    ("setup", "drop", "real"),
    [
        (SHOP, column("orders", "total"), "alter table orders drop column total"),
        (SHOP, table("orders"), "drop table orders"),
        (SHOP, table("customers"), "drop table customers"),
        (SHOP, column("customers", "id"), "alter table customers drop column id"),
        (SHOP, table("order_totals"), "drop table order_totals"),
        (SHOP, column("orders", "nothing"), "alter table orders drop column nothing"),
        (SHOP, column("nothing", "id"), "alter table nothing drop column id"),
        (SHOP, table("nothing"), "drop table nothing"),
        (part("partitioned"), column("p", "day"), "alter table p drop column day"),
        (part("partitioned"), column("p1", "note"), "alter table p1 drop column note"),
        (
            "create table t (a int, b int generated always as (a) stored)",
            column("t", "a"),
            "alter table t drop column a",
        ),
        ("create table t (a int); create policy p on t using (a > 0)", column("t", "a"), "alter table t drop column a"),
        (
            "create table t (a int); create publication only_a for table t (a)",
            column("t", "a"),
            "alter table t drop column a",
        ),
        ("create table a (x int); create table b () inherits (a)", table("a"), "drop table a"),
        ("create table a (x int); create table b () inherits (a)", column("b", "x"), "alter table b drop column x"),
    ],
)
def test_what_stops_a_real_drop_stops_a_soft_one(database: Database, setup: str, drop: Drop, real: str) -> None:
    """With the same error, and the transaction can go on."""
    database.run(setup)
    text = schema_text(database)
    with pytest.raises(psycopg.Error) as expected:
        database.run(real)
    with database.connect() as connection, connection.transaction():
        with pytest.raises(type(expected.value)) as raised:
            drop(connection)
        assert connection.execute("select 1").fetchone() == (1,)
    assert str(raised.value).partition("LINE")[0] == str(expected.value).partition("LINE")[0]
    assert schema_text(database) == text


@pytest.mark.parametrize(
    ("setup", "drop", "message"),
    [
        ("create table t (a int, b int generated always as (a) stored)", column("t", "b"), "generated"),
        ("create domain d as int check (value is not null); create table t (a d)", column("t", "a"), "domain d"),
        ("create domain d as int not null; create domain e as d; create table t (a e)", column("t", "a"), "domain e"),
        ("create table a (x int); create table b (x int) inherits (a)", column("a", "x"), "would stay in b"),
        ("create table rollback_dropped_7_t (a int)", table("rollback_dropped_7_t"), "already"),
        ("create table t (rollback_dropped_1_a int)", column("t", "rollback_dropped_1_a"), "already"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(database: Database, setup: str, drop: Drop, message: str) -> None:
    """And left as it is."""
    database.run(setup)
    text = schema_text(database)
    with database.connect() as connection, pytest.raises(UnsupportedError, match=message):
        drop(connection)
    assert schema_text(database) == text


def test_temporary_tables_are_refused(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("create temporary table t (a int)")
        with pytest.raises(UnsupportedError, match="temporary"):
            soft_drop_table(connection, "t")
        with pytest.raises(UnsupportedError, match="temporary"):
            soft_drop_column(connection, "t", "a")


def test_only_the_owner_may(database: Database) -> None:
    """The error names what has to be owned."""
    database.run("create table t (a int, b int); " + part("roles") + "grant all on t to reader")
    with database.connect() as connection:
        connection.execute("set role reader")
        for drop in (table("t"), column("t", "a")):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="must be owner of table t"):
                drop(connection)


def test_twice_is_once(scenario: Scenario) -> None:
    """As with a real drop, the second finds nothing of that name."""
    scenario.begin(SHOP)
    with scenario.observed() as connection:
        soft_drop_column(connection, "orders", "note")
        with pytest.raises(psycopg.errors.UndefinedColumn):
            soft_drop_column(connection, "orders", "note")
    scenario.back()


def test_a_transaction_that_fails_leaves_nothing(scenario: Scenario) -> None:
    scenario.begin(SHOP)
    text = schema_text(scenario.database)
    with pytest.raises(psycopg.errors.DivisionByZero), scenario.observed() as connection:
        soft_drop_column(connection, "orders", "note")
        connection.execute("select 1 / 0")
    assert schema_text(scenario.database) == text
    assert not scenario.generate().steps


def test_a_later_snapshot_does_not_hold_what_is_dropped_already(scenario: Scenario) -> None:
    """The way back of a later migration leaves it alone, dropped for good or not; that of the first one brings it back."""
    scenario.begin(
        SHOP + "create table extra (id serial primary key, a text unique); insert into extra (a) values ('x')"
    )
    first, text = scenario.snapshot_id, schema_text(scenario.database)
    with scenario.observed() as connection:
        soft_drop_table(connection, "extra")
        soft_drop_column(connection, "orders", "note")
        soft_drop_column(connection, "customers", "email")
    between = schema_text(scenario.database)
    scenario.begin("select 1")
    with scenario.observed() as connection:
        connection.execute("alter table orders add later int; update orders set total = 0")
        soft_drop_column(connection, "customers", "created")
    scenario.back()
    assert schema_text(scenario.database) == between
    scenario.database.run("alter table orders drop rollback_dropped_5_note")
    scenario.verify()
    scenario.snapshot_id = first
    scenario.back()
    assert schema_text(scenario.database) == text


def test_killed_between_steps(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next attempt goes on."""
    monkeypatch.setattr(steps, "ONE_TRANSACTION_ROWS", 0)
    scenario.begin(SHOP)
    text = schema_text(scenario.database)
    with scenario.observed() as connection:
        soft_drop_column(connection, "orders", "status")
        soft_drop_column(connection, "customers", "name")
    scenario.generate()
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(Ddl, "run", _killed_at("NOT NULL"))
        scenario.execute()
    scenario.execute()
    scenario.verify()
    assert schema_text(scenario.database) == text


def _killed_at(word: str) -> Any:
    run = Ddl.run

    def killed(self: Ddl, statements: Any, **options: Any) -> None:
        if any(word in statement.sql for statement in statements):
            raise RuntimeError("killed")
        run(self, statements, **options)

    return killed
