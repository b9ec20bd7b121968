"""What the corpus measures with: a difference that it overlooks would be a rollback that it praises."""

from __future__ import annotations

import pytest

from benchmarks.corpus.compare import row_differences, schema_differences, state_of
from rollback_provider.components.postgres.embedded import Server
from tests.fix_postgres import Database

SCHEMA = """
    create table parent (id integer primary key, name varchar(20) not null default 'x', price numeric(10,2));
    create table child (parent_id integer constraint child_parent references parent, value text check (value <> ''));
    create index child_value on child (value);
    insert into parent values (1, 'one', 1.0), (2, 'two', null);
    insert into child values (1, 'a'), (1, 'a'), (2, e'tab\\there');
"""


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("alter table parent alter name type text", "parent; Type: TABLE"),
        ("alter table parent alter name drop default", "parent; Type: TABLE"),
        ("alter table parent alter name drop not null", "parent; Type: TABLE"),
        ("alter table parent rename price to cost", "parent; Type: TABLE"),
        ("alter table child drop constraint child_value_check", "child; Type: TABLE"),
        ("alter table child drop constraint child_parent", "child_parent; Type: FK CONSTRAINT"),
        ("drop index child_value", "child_value; Type: INDEX"),
        ("create view v as select 1 as one", "v; Type: VIEW"),
        ("comment on table child is 'c'", "TABLE child; Type: COMMENT"),
    ],
)
def test_a_change_of_the_schema_is_found(server: Server, database: Database, change: str, named: str) -> None:
    database.run(SCHEMA)
    before = state_of(server, database.name)
    database.run(change)
    differences = schema_differences(before, state_of(server, database.name))
    assert any(named in difference for difference in differences), differences


@pytest.mark.parametrize(
    "change",
    [
        "update parent set name = 'One' where id = 1",
        "update parent set price = 1.001 where id = 1",
        "update parent set price = 0 where id = 2",
        "update child set value = e'tab\\\\there' where parent_id = 2",
        "delete from child where ctid = (select min(ctid) from child)",
        "insert into child values (2, 'new')",
        "insert into child values (1, 'a')",
        "create table new (a integer)",
    ],
)
def test_a_change_of_rows_is_found(server: Server, database: Database, change: str) -> None:
    database.run(SCHEMA + "alter table parent alter price type numeric;")
    before = state_of(server, database.name)
    database.run(change)
    assert len(row_differences(before, state_of(server, database.name))) == 1


def test_the_order_of_columns_and_rows_does_not_matter(server: Server, database: Database) -> None:
    database.run(SCHEMA)
    before = state_of(server, database.name)
    database.run("""
        alter table parent drop name;
        alter table parent add name varchar(20) not null default 'x';
        update parent set name = 'one' where id = 1;
        update parent set name = 'two' where id = 2;
    """)
    after = state_of(server, database.name)
    assert schema_differences(before, after) == []
    assert row_differences(before, after) == []
