"""Checks of a real database, by SQL and by Great Expectations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rollback_provider.core.checking import run_checks, seal_checks
from rollback_provider.core.checks import parse_checks
from rollback_provider.core.component import Connection
from rollback_provider.core.verification import Check, CheckStatus
from tests.fix_postgres import Database

SHOP = """
create table orders (id int primary key, total numeric(10, 2) not null, status text);
insert into orders select i, i * 1.5, case when i % 100 = 0 then null else 'paid' end from generate_series(1, 1000) i;
create table empty (id int);
"""


@pytest.fixture
def shop(database: Database) -> Database:
    """A database with a thousand orders, ten of which have no status."""
    database.run(SHOP)
    return database


def run(database: Database, *checks: dict[str, Any]) -> list[Check]:
    """What these checks find."""
    given = [{"name": f"check {number}", "connection": database.name} | each for number, each in enumerate(checks)]
    return run_checks(seal_checks(parse_checks(given), database.resolve), "migration", database.resolve)


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        ({"sql": "select id from orders where total < 0"}, "passed", "no rows"),
        ({"sql": "select id, status from orders where status is null order by 1"}, "failed", "id 100, status null"),
        ({"sql": "select * from orders"}, "failed", "1,000 rows, of which 10 are shown"),
        ({"sql": "select count(*) from orders", "equals": 1000}, "passed", "1000"),
        ({"sql": "select count(*) from orders", "min": 1001}, "failed", "at least 1001"),
        ({"sql": "select sum(total) from orders", "min": 1, "max": 750_750}, "passed", "750750.00"),
        ({"sql": "select sum(total) from orders", "max": 750_749.99}, "failed", "750750.00"),
        ({"sql": "select status from orders where id = 1", "equals": "paid"}, "passed", "paid"),
        ({"sql": "select exists(select from orders)", "equals": True}, "passed", "true"),
        ({"sql": "select max(id) from empty", "min": 1}, "unknown", "gives no value"),
        ({"sql": "select id from empty", "min": 1}, "unknown", "gives no value"),
        ({"sql": "select id, total from orders", "min": 1}, "unknown", "A bound needs one value"),
        ({"sql": "select 'many'", "min": 1}, "unknown", "is no number"),
        ({"sql": "select 'NaN'::numeric", "min": 1}, "unknown", "is no number"),
        ({"sql": "select '100%' as \"%s\""}, "failed", "%s 100%"),
        ({"sql": "selct 1"}, "unknown", 'refuses the SQL: syntax error at or near "selct" at character 1'),
        ({"sql": "select * from nowhere"}, "unknown", 'relation "nowhere" does not exist'),
        ({"sql": "delete from orders"}, "unknown", "The SQL writes: cannot execute DELETE in a read-only transaction"),
        ({"sql": "select nextval('counter')"}, "unknown", "The SQL writes"),
        ({"sql": "commit; delete from orders"}, "unknown", "cannot insert multiple commands"),
        ({"sql": "select set_config('transaction_read_only', 'off', false)"}, "unknown", "refuses the SQL"),
        ({"sql": "select pg_sleep(60)", "timeout": 0.3}, "unknown", "No answer within 0.3 s"),
        ({"sql": "commit"}, "unknown", "gives no result"),
    ],
)
def test_sql_holds_or_not_or_nobody_knows(shop: Database, options: dict[str, Any], status: str, text: str) -> None:
    shop.run("create sequence counter")
    (check,) = run(shop, {"kind": "sql"} | options)
    assert (check.status, check.statement) == (status, options["sql"]), check
    assert text in " ".join((check.expected, check.actual, check.detail, *check.differences))
    assert shop.rows("select count(*) from orders") == [(1000,)]


def test_a_server_that_is_not_there_is_unknown_and_the_password_stays_secret() -> None:
    def nobody(connection_id: str) -> Connection:
        return Connection(connection_id, "postgres", "127.0.0.1", 1, "me", "hush", "shop")

    given = [{"kind": "sql", "name": "orders", "connection": "shop", "sql": "select 1"}]
    (check,) = run_checks(seal_checks(parse_checks(given), nobody), "migration", nobody)
    assert check.status is CheckStatus.UNKNOWN
    assert "gives no answer" in check.detail
    assert "hush" not in check.model_dump_json()


def expectation(name: str, /, **kwargs: Any) -> dict[str, Any]:
    """One expectation as it is saved."""
    severity = kwargs.pop("severity", "critical")
    return {"type": name, "kwargs": kwargs, "severity": severity, "id": "of no use"}


def test_expectations_are_checks_and_data_docs_are_linked(shop: Database, tmp_path: Path) -> None:
    suite = [
        expectation("expect_column_values_to_not_be_null", column="status"),
        expectation("expect_column_values_to_not_be_null", column="status", mostly=0.95),
        expectation("expect_column_values_to_be_between", column="total", min_value=2, severity="warning"),
        expectation("expect_table_row_count_to_equal", value=1000),
        expectation("expect_column_values_to_be_unique", column="nope"),
    ]
    docs = tmp_path / "docs"
    found = run(
        shop,
        {"kind": "expectations", "table": "public.orders", "suite": {"expectations": suite}, "data_docs": str(docs)},
        {
            "kind": "expectations",
            "table": "empty",
            "suite": [expectation("expect_column_values_to_not_be_null", column="id")],
        },
        {
            "kind": "expectations",
            "query": "select * from orders where id > 100",
            "suite": [expectation("expect_column_min_to_be_between", column="id", min_value=101)],
        },
    )
    assert [check.detail for check in found if not check.scope] == []
    assert {check.statement for check in found} >= {"public.orders", "select * from orders where id > 100"}
    told = sorted((check.scope, check.status.value, check.actual) for check in found)
    assert told == [
        ("expect_column_min_to_be_between(id)", "passed", "101"),
        ("expect_column_values_to_be_between(total)", "warning", "1 of 1,000 unexpected"),
        ("expect_column_values_to_be_unique(nope)", "unknown", ""),
        ("expect_column_values_to_not_be_null(id)", "unknown", ""),
        ("expect_column_values_to_not_be_null(status)", "failed", "10 of 1,000 unexpected"),
        ("expect_column_values_to_not_be_null(status)", "passed", "10 of 1,000 unexpected"),
        ("expect_table_row_count_to_equal", "passed", "1000"),
    ]
    details = {check.scope: check.detail for check in found}
    assert 'column "nope" in BatchData does not exist' in details["expect_column_values_to_be_unique(nope)"]
    assert details["expect_column_values_to_not_be_null(id)"] == "There are no rows to look at"
    links = {check.link for check in found if check.link}
    assert links == {(docs / "check-0" / "index.html").as_uri()}
    assert "orders" in (docs / "check-0" / "index.html").read_text("utf-8")


def test_a_suite_can_be_great_expectations_own(shop: Database) -> None:
    import great_expectations as gx
    from great_expectations.expectations.core.expect_column_values_to_not_be_null import ExpectColumnValuesToNotBeNull

    suite = gx.ExpectationSuite(name="orders", expectations=[ExpectColumnValuesToNotBeNull(column="id")])
    (check,) = run(shop, {"kind": "expectations", "table": "orders", "suite": suite})
    assert (check.status.value, check.actual) == ("passed", "0 of 1,000 unexpected")
