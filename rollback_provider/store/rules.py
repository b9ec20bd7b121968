"""Which snapshots the retention rules keep. Pure: it looks at ids and times alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.model import Snapshot


@dataclass(frozen=True)
class Rules:
    """What to keep of each migration. A snapshot that one rule keeps is kept.

    :param keep_last: this many of the newest
    :param keep_within: all that are younger than this
    :param keep_daily: the newest of each day, for the latest so many days that have one (days in UTC)
    :param keep_weekly: the newest of each ISO week, for the latest so many weeks that have one
    """

    keep_last: int | None = None
    keep_within: timedelta | None = None
    keep_daily: int | None = None
    keep_weekly: int | None = None

    def __post_init__(self) -> None:
        rules = (self.keep_last, self.keep_within, self.keep_daily, self.keep_weekly)
        given = [rule for rule in rules if rule is not None]
        if not given:
            raise ConfigurationError(
                "No retention rule is given, and without one nothing would be kept",
                next_step="Give at least one of keep_last, keep_within, keep_daily, keep_weekly",
            )
        if any(rule <= timedelta() if isinstance(rule, timedelta) else rule < 1 for rule in given):
            raise ConfigurationError("A retention rule keeps nothing: each must be at least 1, or a positive time")


def kept_by_rules(snapshots: Iterable[Snapshot], rules: Rules, now: datetime) -> dict[str, list[str]]:
    """Ids of the snapshots to keep, and for each the rules that keep it."""
    by_migration: dict[str, list[Snapshot]] = defaultdict(list)
    for snapshot in snapshots:
        by_migration[snapshot.migration].append(snapshot)
    kept: dict[str, list[str]] = defaultdict(list)
    for group in by_migration.values():
        newest_first = sorted(group, key=lambda snapshot: (snapshot.created, snapshot.id), reverse=True)
        for snapshot in newest_first[: rules.keep_last or 0]:
            kept[snapshot.id].append(f"among the last {rules.keep_last}")
        for snapshot in newest_first:
            if rules.keep_within is not None and now - snapshot.created < rules.keep_within:
                kept[snapshot.id].append(f"younger than {rules.keep_within}")
        for snapshot in _newest_of_each(newest_first, _day, rules.keep_daily or 0):
            kept[snapshot.id].append(f"newest of {_day(snapshot)}")
        for snapshot in _newest_of_each(newest_first, _week, rules.keep_weekly or 0):
            kept[snapshot.id].append(f"newest of week {_week(snapshot)}")
    return dict(kept)


def _newest_of_each(newest_first: Sequence[Snapshot], period: Callable[[Snapshot], str], count: int) -> list[Snapshot]:
    newest: dict[str, Snapshot] = {}
    for snapshot in newest_first:
        newest.setdefault(period(snapshot), snapshot)
    return list(newest.values())[:count]


def _day(snapshot: Snapshot) -> str:
    return snapshot.created.astimezone(UTC).strftime("%Y-%m-%d")


def _week(snapshot: Snapshot) -> str:
    return snapshot.created.astimezone(UTC).strftime("%G-W%V")
