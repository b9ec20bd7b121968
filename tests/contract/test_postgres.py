"""The PostgreSQL component keeps the contract, on a real server of the oldest and the newest version, or of every one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from rollback_provider.core.component import Connection
from rollback_provider.core.model import ComponentSpec
from tests.contract.harness import Harness
from tests.contract.suite import ContractSuite
from tests.fix_postgres import Database
from tests.fix_servers import OLDEST_AND_NEWEST, socket_of

postgres_socket = socket_of(*OLDEST_AND_NEWEST)
PASSWORD = "correct horse battery staple"  # noqa: S105  the test's server trusts everybody
BEFORE = """
create table customers (id bigint generated always as identity primary key, name text not null unique, city text);
create table orders (
    id int primary key, customer_id bigint not null references customers on delete cascade,
    total numeric(10, 2) not null check (total >= 0), status text, legacy text, changed timestamptz default now());
create index on orders (status) where status is not null;
create table coupons (code text primary key, percent int);
create view spending as select customer_id, sum(total) total from orders group by 1;
create function touch() returns trigger language plpgsql as 'begin new.changed := clock_timestamp(); return new; end';
create trigger touch before update on orders for each row execute function touch();
insert into customers (name, city) values ('Ada', 'London'), ('Grace', 'Arlington'), ('Edsger', null);
insert into orders select n, n % 3 + 1, n, case n % 4 when 0 then 'open' when 1 then 'paid' end, 'L' || n, '2026-01-01'
    from generate_series(1, 30) n;
insert into coupons values ('SPRING', 10), (E'odd\\tkey\\\\n', null);
"""
MIGRATION = """
alter table orders rename column status to state;
alter table orders drop column legacy;
alter table orders add column currency text not null default 'EUR';
drop view spending;
alter table orders drop constraint orders_total_check, alter column total type text using total::text;
create view spending as select customer_id, count(*) orders from orders group by 1;
alter table orders disable trigger user;
update orders set total = '1000.00', changed = '2026-01-04' where id % 10 = 0;
alter table orders enable trigger user;
delete from orders where id = 7;
insert into orders (id, customer_id, total, state, changed) values (100, 1, '5.00', 'imported', '2026-01-04');
drop table coupons;
create table vouchers (code text primary key, value int);
insert into vouchers values ('SPRING', 5);
alter table customers alter column city set default 'nowhere';
"""
AGAIN = """
alter table customers add column tier text default 'silver';
update customers set tier = 'gold', city = 'Oslo' where id = 3;
delete from customers where id = 2 and not exists (select from orders where customer_id = 2);
insert into customers (id, name) overriding system value values (50, 'Again');
create table regions (id int primary key);
alter table vouchers add column note text;
update vouchers set value = 6;
drop view spending;
create view spending as select customer_id, 1 one from orders group by 1;
"""
APPLICATION = """
update orders set {status} = 'shipped' where id in (2, 3);
insert into orders (id, customer_id, total, {status}, changed) values (200, 2, '42.00', 'new', '2026-01-02');
insert into customers (name, city) overriding system value values ('Barbara', 'Boston');
update customers set city = 'Cambridge' where name = 'Ada';
delete from orders where id = 11;
"""


class PostgresHarness:
    """A shop in a database of its own."""

    secrets = (PASSWORD,)
    part = "public.coupons"

    def __init__(self, database: Database) -> None:
        self.database = database
        self.spec = ComponentSpec(kind="postgres", name="shop", connection="shop_db")
        self._connection = replace(database.connection, password=PASSWORD)
        database.run(BEFORE)

    def resolve(self, connection_id: str) -> Connection:
        """The database."""
        assert connection_id == "shop_db"
        return self._connection

    def migrate(self) -> None:
        """Schema and rows."""
        self.database.run(MIGRATION)

    def migrate_again(self) -> None:
        """Schema and rows, some of them the same."""
        self.database.run(AGAIN)

    def application_write(self) -> None:
        """Orders and customers as they come, under either schema."""
        columns = {
            name
            for (name,) in self.database.rows("select attname from pg_attribute where attrelid = 'orders'::regclass")
        }
        self.database.run(APPLICATION.format(status="state" if "state" in columns else "status"))
        self.database.run("update orders set changed = '2026-01-03' where id in (2, 3)")
        self.database.run(
            "alter table orders disable trigger user; update orders set changed = '2026-01-03' where id in (2, 3);"
            "alter table orders enable trigger user"
        )

    def drift(self) -> None:
        """Another migration."""
        self.database.run("create table invoices (id int primary key)")

    def state(self) -> object:
        """Columns and rows of every table, and definitions of everything else, all read without the component."""
        tables = self.database.rows(
            "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1"
        )
        shape = self.database.rows(
            "select attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull, attidentity::text,"
            " (select pg_get_expr(adbin, adrelid) from pg_attrdef where (adrelid, adnum) = (attrelid, attnum))"
            " from pg_attribute join pg_class c on c.oid = attrelid where relnamespace = 'public'::regnamespace"
            " and relkind in ('r', 'v') and attnum > 0 and not attisdropped order by 1, 2"
        )
        rest = self.database.rows(
            "select conrelid::regclass::text || conname || pg_get_constraintdef(oid) from pg_constraint where connamespace = 'public'::regnamespace"
            " and contype <> 'n' union all select pg_get_indexdef(indexrelid) from pg_index join pg_class c on c.oid = indrelid"
            " where relnamespace = 'public'::regnamespace union all select pg_get_viewdef('spending'::regclass)"
            " union all select pg_get_triggerdef(oid) || tgenabled::text from pg_trigger where not tgisinternal order by 1"
        )
        rows = {
            table: sorted(
                tuple(sorted(row[0].items(), key=lambda item: item[0]))
                for row in self.database.rows(f"select jsonb_strip_nulls(to_jsonb(t)) from {table} t")
            )
            for (table,) in tables
        }
        return {"rows": {t: [str(r) for r in rs] for t, rs in rows.items()}, "shape": shape, "rest": rest}

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """No server listens there."""
        right, self._connection = self._connection, replace(self._connection, host="/nonexistent")
        yield
        self._connection = right

    @contextmanager
    def wrong_credentials(self) -> Iterator[None]:
        """Nobody of that name."""
        right, self._connection = self._connection, replace(self._connection, login="stranger")
        yield
        self._connection = right


class TestPostgres(ContractSuite):
    """The contract, kept by the PostgreSQL component."""

    stride = 5

    @pytest.fixture
    def make_harness(self, make_database: Callable[[], Database]) -> Callable[[], Harness]:
        """Makes shops."""
        return lambda: PostgresHarness(make_database())
