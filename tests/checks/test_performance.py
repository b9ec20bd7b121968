"""Performance: times are compared by rank, as a ratio, and a lost index is named."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from rollback_provider.checks.performance import PerformanceCheck
from rollback_provider.checks.rank import p_larger
from rollback_provider.core.checking import run_checks, seal_checks
from rollback_provider.core.checks import parse_checks
from rollback_provider.core.errors import ComponentError, ComponentUnavailableError
from rollback_provider.core.verification import Check, CheckSpec
from tests.fix_postgres import Database

ORDERS = """
create table orders (id int primary key, customer int not null, total numeric not null);
insert into orders select i, i % 500, i from generate_series(1, 20000) i;
create index orders_by_customer on orders (customer);
create index orders_by_total on orders (total);
create view spent as select sum(total) from orders where customer = 7;
analyze orders;
"""
SPENT: dict[str, Any] = {
    "kind": "performance",
    "name": "what a customer has spent",
    "sql": "select sum(total) from orders where customer = 7",
    "samples": 20,
    "tolerance": 100,
}


@pytest.mark.parametrize("seed", range(5))
def test_ranks_give_what_scipy_gives(seed: int) -> None:
    from scipy.stats import mannwhitneyu

    chance = random.Random(seed)
    left = [round(chance.lognormvariate(0, 1), 1) for _ in range(30 + seed)]
    right = [round(chance.lognormvariate(0.3, 1), 1) for _ in range(40)]
    for first, second in ((left, right), (right, left), (left, left)):
        expected = mannwhitneyu(first, second, alternative="greater", method="asymptotic").pvalue
        assert p_larger(first, second) == pytest.approx(expected, rel=1e-9)
    assert p_larger([1.0] * 20, [1.0] * 20) == 0.5


def compared(before: Sequence[float], now: Sequence[float]) -> Check:
    """What a check says of these times, in milliseconds, with a tolerance of 1.5."""
    spec = CheckSpec(kind="performance", name="x", connection="shop", options={"sql": "select 1"})
    return PerformanceCheck(spec)._compared([each / 1000 for each in before], [each / 1000 for each in now])


def times(middle: float, seed: int, count: int = 60) -> list[float]:
    """Times around a middle, some of them far above."""
    chance = random.Random(seed)
    return [middle * chance.lognormvariate(0, 0.2) * (10 if chance.random() < 0.05 else 1) for _ in range(count)]


def test_times_decide_by_rank() -> None:
    found = {ratio: compared(times(20, 1), times(20 * ratio, 2)) for ratio in (0.5, 1, 1.5, 2, 4)}
    assert {ratio: check.status.value for ratio, check in found.items()} == {
        0.5: "passed",
        1: "passed",
        1.5: "unknown",
        2: "failed",
        4: "failed",
    }
    assert found[4].expected.startswith("at most 1.5 times ")
    assert "slower than tolerated" in found[4].detail
    assert "take more samples" in found[1.5].detail


def test_false_claims_are_as_rare_as_is_said() -> None:
    wrong = [
        ratio
        for ratio, bad in ((1.5, "failed"), (1.5, "passed"))
        for seed in range(500)
        if compared(times(20, seed), times(20 * ratio, 10_000 + seed)).status.value == bad
    ]
    assert len(wrong) <= 0.03 * 1000


def test_less_than_a_millisecond_is_nothing_and_few_answers_say_nothing() -> None:
    assert compared(times(0.2, 1), times(0.8, 2)).status.value == "passed"
    check = compared(times(20, 1), times(20, 2, count=19))
    assert (check.status.value, check.detail) == ("unknown", "19 answers in time, and 20 are needed")


def around(database: Database, script: str, **options: Any) -> list[Check]:
    """What a check finds that was measured before a script, and is run after it."""
    database.run(ORDERS)
    declared = parse_checks([SPENT | {"connection": database.name} | options])
    sealed = seal_checks(declared, database.resolve)
    with database.connect() as session:
        for statement in filter(None, script.split("; ")):
            session.execute(statement)
    return run_checks(sealed, "rollback", database.resolve)


@pytest.mark.parametrize(
    ("script", "status", "named"),
    [
        ("", "passed", "indexes used: public.orders_by_customer"),
        ("insert into orders values (0, 7, 7); reindex table orders", "passed", ""),
        ("drop index orders_by_customer", "failed", "index public.orders_by_customer of public.orders is gone"),
        ("update pg_index set indisvalid = false where indexrelid = 'orders_by_customer'::regclass", "failed", "is invalid"),
        ("update orders set customer = 7; analyze orders", "warning", "is there, and the query does not use it any more"),
    ],
)  # fmt: skip
def test_a_lost_index_is_named(database: Database, script: str, status: str, named: str) -> None:
    found = {check.scope: check for check in around(database, script)}
    plan = found["plan"]
    assert (plan.status.value, plan.area.value) == (status, "performance"), plan
    assert named in " ".join((plan.detail, *plan.differences))
    assert set(found) == {"times", "plan"}


def test_what_has_become_slow_has_failed(database: Database) -> None:
    slow = "create or replace view spent as select 1::numeric as sum from pg_sleep(0.05)"
    sql, tolerance = "select * from spent", 10
    found = {check.scope: check for check in around(database, slow, sql=sql, tolerance=tolerance)}
    assert found["times"].status.value == "failed", found
    assert "times: 5" in found["times"].actual


def test_what_cannot_be_measured_before_is_refused(database: Database) -> None:
    with pytest.raises(ComponentUnavailableError, match=r"got 0 answers in 0\.1 s, and 20 are needed"):
        around(database, "", sql="select pg_sleep(0.12)", timeout=0.2)
    database.run("drop table orders cascade")
    with pytest.raises(ComponentError, match="refuses the SQL: syntax error"):
        around(database, "", sql="selct")
