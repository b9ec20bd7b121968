"""Rows for tables that the filler has never seen."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.corpus.filler import ROWS, CannotFillError, fill
from tests.fix_postgres import Database

SCHEMA = """
    create type colour as enum ('red', 'green');
    create table child (
        parent_a integer not null, parent_b varchar(3) not null, line smallint not null,
        colour colour not null,
        amount numeric(8,2) check (amount > 0), doubled numeric generated always as (amount * 2) stored,
        payload jsonb not null, moment timestamptz(3) not null, token uuid unique,
        primary key (parent_a, parent_b, line)
    );
    create table parent (
        a integer not null, b varchar(3) not null, status text not null check (status in ('new', 'it''s done')),
        flag integer check (flag in (0, 1)), boss_a integer, boss_b varchar(3), primary key (a, b),
        foreign key (boss_a, boss_b) references parent
    );
    alter table child add foreign key (parent_a, parent_b) references parent;
    create table kinds (name text primary key check (name in ('one', 'two')));
    create table counted (
        id bigint generated always as identity primary key, old serial, at date not null default now()
    );
"""


def seeded(seed: int) -> Random:
    """The same rows in every run."""
    return Random(seed)


def test_every_table_gets_rows_within_its_constraints(database: Database) -> None:
    database.run(SCHEMA)
    with database.connect() as connection:
        written = fill(connection, {"child.payload": ['{"known": true}']}, seeded(1))
        again = fill(connection, {}, seeded(2))
    counts = dict(
        database.rows("""
        select 'child', count(*) from child union all select 'parent', count(*) from parent
        union all select 'counted', count(*) from counted union all select 'kinds', count(*) from kinds
    """)
    )
    assert counts == {"child": ROWS, "parent": ROWS, "counted": ROWS, "kinds": 2}
    assert written == 3 * ROWS + 2
    assert again == 0
    assert database.rows("select distinct payload::text from child") == [('{"known": true}',)]


def test_a_column_that_holds_nothing_gets_values(database: Database) -> None:
    database.run(SCHEMA)
    with database.connect() as connection:
        fill(connection, {}, seeded(1))
        connection.execute("alter table kinds add remark text; alter table kinds add never text check (never is null)")
        fill(connection, {}, seeded(1))
    assert database.rows("select count(remark), count(never) from kinds") == [(1, 0)]


def test_a_table_that_cannot_be_filled_is_named(database: Database) -> None:
    database.run("create table impossible (a integer not null check (a is null))")
    with database.connect() as connection, pytest.raises(CannotFillError, match="impossible"):
        fill(connection, {}, seeded(1))
