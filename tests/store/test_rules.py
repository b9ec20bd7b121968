"""Retention rules as tables: which of some snapshots each rule keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.model import Snapshot
from rollback_provider.store.rules import Rules, kept_by_rules

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday
TAKEN = {
    "mon-11h": NOW - timedelta(hours=1),
    "mon-01h": NOW - timedelta(hours=11),
    "sun-23h": NOW - timedelta(hours=13),
    "sun-08h": NOW - timedelta(hours=28),
    "wed": NOW - timedelta(days=5),
    "week-ago": NOW - timedelta(days=7),
    "three-weeks": NOW - timedelta(days=21),
    "last-year": NOW - timedelta(days=400),
}


def snapshots(migration: str = "orders") -> list[Snapshot]:
    return [
        Snapshot(id=f"{migration}-{name}", migration=migration, created=created, actor="t", components=())
        for name, created in TAKEN.items()
    ]


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        (Rules(keep_last=1), ["mon-11h"]),
        (Rules(keep_last=3), ["mon-11h", "mon-01h", "sun-23h"]),
        (Rules(keep_last=99), list(TAKEN)),
        (Rules(keep_within=timedelta(hours=12)), ["mon-11h", "mon-01h"]),
        (Rules(keep_within=timedelta(days=7)), ["mon-11h", "mon-01h", "sun-23h", "sun-08h", "wed"]),
        (Rules(keep_within=timedelta(minutes=1)), []),
        (Rules(keep_daily=1), ["mon-11h"]),
        (Rules(keep_daily=3), ["mon-11h", "sun-23h", "wed"]),
        (Rules(keep_weekly=1), ["mon-11h"]),
        (Rules(keep_weekly=2), ["mon-11h", "sun-23h"]),
        (Rules(keep_weekly=4), ["mon-11h", "sun-23h", "three-weeks", "last-year"]),
        (Rules(keep_last=2, keep_weekly=2), ["mon-11h", "mon-01h", "sun-23h"]),
        (Rules(keep_within=timedelta(minutes=1), keep_daily=2), ["mon-11h", "sun-23h"]),
    ],
)
def test_what_a_rule_keeps(rules: Rules, kept: list[str]) -> None:
    assert set(kept_by_rules(snapshots(), rules, NOW)) == {f"orders-{name}" for name in kept}


def test_each_migration_counts_by_itself() -> None:
    kept = kept_by_rules(snapshots("orders") + snapshots("users"), Rules(keep_last=1), NOW)
    assert set(kept) == {"orders-mon-11h", "users-mon-11h"}


def test_each_rule_is_given_as_a_reason() -> None:
    kept = kept_by_rules(snapshots(), Rules(2, timedelta(hours=2), 1, 1), NOW)
    assert kept["orders-mon-11h"] == [
        "among the last 2",
        "younger than 2:00:00",
        "newest of 2026-11-23",
        "newest of week 2026-W48",
    ]
    assert kept["orders-mon-01h"] == ["among the last 2"]


def test_no_rule_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="No retention rule"):
        Rules()


@pytest.mark.parametrize(
    "rule", [{"keep_last": 0}, {"keep_daily": -1}, {"keep_weekly": 0, "keep_last": 3}, {"keep_within": timedelta()}]
)
def test_a_rule_that_keeps_nothing_is_refused(rule: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="keeps nothing"):
        Rules(**rule)  # type: ignore[arg-type]
