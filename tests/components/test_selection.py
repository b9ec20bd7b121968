"""Only a part goes back: the rest is as the migration left it, what the part needs is named, and nobody takes the part for the whole."""

from __future__ import annotations

import pytest

from rollback_provider.components.postgres import steps
from rollback_provider.core.document import Record
from rollback_provider.core.errors import ConfigurationError, UnsupportedError
from rollback_provider.core.repository import Store
from rollback_provider.report.facts import outcome
from tests.components.scenario import Scenario
from tests.fix_postgres import Database

SHOP = """
create table customers (id int primary key, name text unique, city text);
create table orders (id int primary key, customer int references customers, total numeric(10, 2), status text);
create view spending as select customer, sum(total) total from orders group by 1;
insert into customers select n, 'name ' || n, 'city ' || n from generate_series(1, 9) n;
insert into orders select n, n, n, 'open' from generate_series(1, 9) n;
"""
MIGRATION = """
alter table orders rename column status to state;
alter table orders add column currency text default 'EUR';
create index on orders (state);
update orders set total = 0, state = 'X' where id <= 5;
delete from orders where id = 9;
insert into orders values (20, 1, 5, 'new');
update customers set city = 'X';
alter table customers add column tier int;
create table made (id int primary key);
"""


@pytest.fixture(params=[10_000, 0], ids=["one transaction", "in steps"])
def shop(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, database: Database, memory_store: Store
) -> Scenario:
    """A shop that was migrated; small and large plans."""
    monkeypatch.setattr(steps, "ONE_TRANSACTION_ROWS", request.param)
    return Scenario(database, memory_store).begin(SHOP).migrate(MIGRATION)


def columns(shop: Scenario, table: str) -> list[str]:
    """Names of a table's columns."""
    query = f"select attname from pg_attribute where attrelid = '{table}'::regclass and attnum > 0 and not attisdropped order by 1"
    return [name for (name,) in shop.rows(query)]


def assert_partial(record: Record) -> None:
    """It says so itself."""
    assert record.policy.partial
    assert outcome(record).title == "A part rolled back and verified"
    assert "Only a part" in outcome(record).sentence


def test_one_table(shop: Scenario) -> None:
    """Its schema and its rows; applications' writes to it stay, and the ledger speaks of it alone."""
    shop.application("update orders set state = 'mine' where id = 2; update customers set city = 'mine' where id = 2")
    assert_partial(shop.back(only=("public.orders",)))
    assert columns(shop, "orders") == ["customer", "id", "status", "total"]
    assert shop.rows("select id, total::text, status from orders where id in (1, 2, 6, 9, 20) order by id") == [
        (1, "1.00", "open"),
        (2, "2.00", "mine"),
        (6, "6.00", "open"),
        (9, "9.00", "open"),
    ]
    assert columns(shop, "customers") == ["city", "id", "name", "tier"]
    assert shop.rows("select count(*) from customers where city = 'X'") == [(8,)]
    assert shop.rows("select to_regclass('made') is not null") == [(True,)]
    assert {entry["scope"] for entry in shop.entries()} == {"public.orders"}


def test_a_table_that_the_migration_made(shop: Scenario) -> None:
    """It goes, and nothing else."""
    assert_partial(shop.back(only=("public.made",)))
    assert shop.rows("select to_regclass('made') is null") == [(True,)]
    assert columns(shop, "customers") == ["city", "id", "name", "tier"]


def test_only_the_schema(shop: Scenario) -> None:
    """What the migration did to rows stays."""
    assert_partial(shop.back(part="schema"))
    assert columns(shop, "orders") == ["customer", "id", "status", "total"]
    assert columns(shop, "customers") == ["city", "id", "name"]
    assert shop.rows("select status, total::text from orders where id = 1") == [("X", "0.00")]
    assert shop.rows("select distinct city from customers") == [("X",)]


def test_only_the_data(shop: Scenario) -> None:
    """Under the names that the migration gave."""
    shop.application("update orders set state = 'mine' where id = 2")
    assert_partial(shop.back(part="data"))
    assert columns(shop, "orders") == ["currency", "customer", "id", "state", "total"]
    assert shop.rows("select id, total::text, state, currency from orders where id in (1, 2, 9, 20) order by id") == [
        (1, "1.00", "open", "EUR"),
        (2, "2.00", "mine", "EUR"),
        (9, "9.00", "open", "EUR"),
    ]
    assert shop.rows("select city from customers where id = 1") == [("city 1",)]
    assert shop.rows("select to_regclass('made') is not null") == [(True,)]


def test_only_some_rows(shop: Scenario) -> None:
    """Changed, deleted and inserted ones, chosen by what they were, or are where they were not."""
    assert_partial(shop.back(rows={"public.orders": "id between 4 and 9 or status = 'new'"}))
    assert shop.rows("select id, total::text, state from orders where id in (1, 4, 5, 9, 20) order by id") == [
        (1, "0.00", "X"),
        (4, "4.00", "open"),
        (5, "5.00", "open"),
        (9, "9.00", "open"),
    ]
    assert shop.rows("select distinct city from customers") == [("X",)]


def test_a_predicate_that_makes_no_sense(shop: Scenario) -> None:
    """One clear error, before anything is changed."""
    with pytest.raises(ConfigurationError, match=r"public\.orders.*nonsense"):
        shop.generate(rows={"public.orders": "nonsense = 1"})


@pytest.mark.parametrize(
    ("migration", "only", "named"),
    [
        ("alter table orders drop constraint orders_customer_fkey; alter table customers drop constraint customers_pkey",
         ("public.orders",), "needs constraint public.customers.customers_pkey"),
        ("create view new as select currency from orders", ("public.orders",), "view public.new"),
        ("drop view spending; alter table orders alter customer type bigint; create view spending as select customer c from orders",
         ("public.orders",), "view public.spending"),
        ("create type mood as enum ('a'); drop view spending; alter table customers rename to people;"
         "create view spending as select 1 a", ("public.spending",), ""),
    ],
    ids=["a key that is gone", "a view on a column that goes", "a view on a column that is converted", "nothing"],
)  # fmt: skip
def test_what_a_part_needs_is_named(shop: Scenario, migration: str, only: tuple[str, ...], named: str) -> None:
    """And nothing is planned without it."""
    shop.migrate(migration)
    if named:
        with pytest.raises(UnsupportedError, match=named.replace(".", r"\.") + ".*choose it, too"):
            shop.generate(only=only)
    else:
        shop.back(only=only)


@pytest.mark.parametrize(
    ("migration", "policy", "named"),
    [
        ("alter table orders drop column total cascade", {"part": "data"}, "column total was dropped"),
        ("alter table customers alter city type int using length(city)", {"rows": {"public.customers": "id = 1"}}, "column city was converted"),
        ("drop table orders cascade", {"part": "data", "only": ("public.orders",)}, "which is gone"),
    ],
)  # fmt: skip
def test_rows_that_need_their_columns(shop: Scenario, migration: str, policy: dict[str, object], named: str) -> None:
    """Values have to have somewhere to go."""
    shop.migrate(migration)
    with pytest.raises(UnsupportedError, match=named):
        shop.generate(**policy)


def test_a_part_is_verified_as_one(shop: Scenario) -> None:
    """What is wrong in it is found, what is outside is not looked at."""
    shop.back(only=("public.orders",))
    shop.application("update customers set city = 'anything'")
    shop.verify()
    shop.application("update orders set total = 0 where id = 1")
    with pytest.raises(AssertionError, match=r"id=1: total is '0\.00', was '1\.00'"):
        shop.verify()
    shop.application("update orders set total = 1 where id = 1; alter table orders add again int")
    with pytest.raises(AssertionError, match=r"column public\.orders\.again is new"):
        shop.verify()
