"""Migrations that ended in the middle, as tools leave them that commit statement by statement: from any such state back to the snapshot."""

from __future__ import annotations

from typing import NamedTuple

import psycopg
import pytest

from rollback_provider.core.repository import Store
from tests.components.fix.ddl_cases import part
from tests.components.fix.schema_text import database_text
from tests.components.scenario import Scenario
from tests.fix_postgres import Database
from tests.fix_servers import socket_of, spread

postgres_socket = socket_of()


class Half(NamedTuple):
    """A migration whose last statement does not end.

    :param done: statements that were committed before, each alone
    :param last: the statement that fails, or that is cancelled while another session holds `held`
    """

    setup: str
    last: str
    done: tuple[str, ...] = ()
    held: str = ""


SHOP = part("shop")
YEARS = """
create table p (id int, day date not null, note text, primary key (id, day)) partition by range (day);
create table p1 partition of p for values from ('2025-01-01') to ('2026-01-01');
create table p2 partition of p for values from ('2026-01-01') to ('2027-01-01');
create index p_note on p (note);
insert into p values (1, '2025-05-05', 'a'), (2, '2026-05-05', 'b');
"""
CASES = {
    "CREATE INDEX CONCURRENTLY cancelled": Half(
        SHOP,
        "create index concurrently orders_note on orders (note)",
        held="update orders set total = total where id = 1",
    ),
    "CREATE UNIQUE INDEX CONCURRENTLY on duplicates": Half(
        SHOP, "create unique index concurrently once on orders (customer_id)"
    ),
    "index swapped, the new one cancelled": Half(
        SHOP,
        "create index concurrently orders_status on orders (status, id)",
        done=("drop index concurrently orders_status",),
        held="update orders set total = total where id = 1",
    ),
    "REINDEX CONCURRENTLY cancelled": Half(
        SHOP, "reindex index concurrently orders_status", held="update orders set total = total where id = 1"
    ),
    "REINDEX TABLE CONCURRENTLY cancelled": Half(
        SHOP, "reindex table concurrently orders", held="update orders set total = total where id = 1"
    ),
    "DROP INDEX CONCURRENTLY cancelled": Half(
        SHOP, "drop index concurrently orders_status", held="update orders set total = total where id = 1"
    ),
    "DETACH PARTITION CONCURRENTLY cancelled": Half(
        YEARS, "alter table p detach partition p1 concurrently", held="select * from p"
    ),
    "DETACH PARTITION CONCURRENTLY cancelled, its table renamed": Half(
        YEARS,
        "alter table old detach partition p1 concurrently",
        done=("alter table p rename to old", "update p1 set note = 'x'"),
        held="select * from old",
    ),
    "check never validated": Half(
        SHOP,
        "alter table orders validate constraint small",
        done=("alter table orders add constraint small check (total < 15) not valid",),
    ),
    "foreign key never validated": Half(
        SHOP + "create table notes (order_id bigint); insert into notes values (99);",
        "alter table notes validate constraint f",
        done=("alter table notes add constraint f foreign key (order_id) references orders not valid",),
    ),
    "enum label added and used": Half(
        "create type e as enum ('x', 'y'); create table t (id int primary key, a e default 'x'); insert into t values (1, 'y');",
        "alter table t add constraint one check (id = 0)",
        done=("alter type e add value 'z' before 'y'", "update t set a = 'z'", "insert into t values (2, 'z')"),
    ),
    "NOT NULL that rows stand against": Half(
        SHOP,
        "alter table orders alter note set not null",
        done=("alter table orders add flag boolean", "alter table orders rename status to state"),
    ),
}
RUNS = list(spread(CASES))


@pytest.fixture
def scenario(database: Database, memory_store: Store) -> Scenario:
    """A database and a store."""
    return Scenario(database, memory_store)


@pytest.mark.parametrize(
    ("postgres_socket", "name"), RUNS, indirect=["postgres_socket"], ids=[f"{version} {name}" for version, name in RUNS]
)
def test_undo_redo_undo(scenario: Scenario, name: str) -> None:
    case = CASES[name]
    scenario.begin(case.setup)
    before = database_text(scenario.database)
    for migrate in (scenario.database.run, scenario.migrate):
        for statement in case.done:
            scenario.database.run(statement)
        assert _ends_early(scenario.database, case)
        migrate("select 1")
        scenario.back()
        assert database_text(scenario.database) == before
        assert not scenario.generate().steps


def _ends_early(database: Database, case: Half) -> bool:
    """Whether the last statement failed, or waited for the other session until it was cancelled."""
    with database.connect() as other, database.connect() as migrating:
        if case.held:
            other.execute(f"begin; {case.held}")
            migrating.execute("set statement_timeout = '300ms'")
        try:
            migrating.execute(case.last)
        except (psycopg.errors.IntegrityError, psycopg.errors.QueryCanceled):
            return True
    return False


STATEMENTS = (
    "alter table orders rename note to remark",
    "create table audit (id serial primary key, order_id bigint references orders on delete cascade)",
    "insert into audit (order_id) select id from orders",
    "update orders set total = 0 where id = 1",
    "drop view order_totals",
    "alter table orders alter status type varchar(20), alter total type numeric(14, 4)",
    "create index concurrently orders_state on orders (status)",
    "delete from customers where id = 2",
    "alter table orders drop column remark",
    "alter table customers rename to clients",
    "drop table orders cascade",
)
KILLS = list(spread(range(1, len(STATEMENTS))))


@pytest.mark.parametrize(("postgres_socket", "number"), KILLS, indirect=["postgres_socket"])
def test_killed_between_committed_statements(scenario: Scenario, number: int) -> None:
    """The session ends in the statement after the first few, before it is committed."""
    scenario.begin(SHOP)
    before = database_text(scenario.database)
    for statement in STATEMENTS[:number]:
        scenario.database.run(statement)
    with scenario.database.connect() as migrating, pytest.raises(psycopg.errors.AdminShutdown):
        if "concurrently" not in STATEMENTS[number]:
            migrating.execute(f"begin; {STATEMENTS[number]}")
        migrating.execute("select pg_terminate_backend(pg_backend_pid())")
    scenario.migrate("select 1").back()
    assert database_text(scenario.database) == before
