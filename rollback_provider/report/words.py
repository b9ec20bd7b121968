"""Numbers, times and durations as people say them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import log

from rollback_provider.core.words import plural

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
UNITS = ("kB", "MB", "GB", "TB")


def duration(value: timedelta | float) -> str:
    """A duration (a number is seconds): ``12 ms``, ``1.2 seconds``, ``4 minutes 12 seconds``, ``2 hours 5 minutes``."""
    seconds = _seconds(value)
    if seconds < 0.9995:
        return short_duration(seconds) if seconds > 0 else "0 seconds"
    if seconds < 9.95:
        tenths = f"{seconds:.1f}".removesuffix(".0")
        return f"{tenths} second" if tenths == "1" else f"{tenths} seconds"
    whole = round(seconds)
    if whole < MINUTE:
        return plural(whole, "second")
    if whole < HOUR:
        return _two(whole, 60, "minute", "second")
    if whole < DAY:
        return _two(round(whole / MINUTE), 60, "hour", "minute")
    return _two(round(whole / HOUR), 24, "day", "hour")


def short_duration(value: timedelta | float) -> str:
    """A duration for an axis or a narrow column: ``<1 ms``, ``12 ms``, ``1.2 s``, ``4 min 12 s``, ``2 h 5 min``."""
    seconds = _seconds(value)
    if seconds < 0.001:
        return "<1 ms" if seconds > 0 else "0 s"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    big, small = ("min", "s") if whole < HOUR else ("h", "min")
    head, rest = divmod(whole if whole < HOUR else round(whole / MINUTE), 60)
    return f"{head} {big} {rest} {small}" if rest else f"{head} {big}"


def moment(when: datetime | None) -> str:
    """A time to the second, in UTC: ``2026-11-23 15:11:01 UTC``; empty where there is none."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if when else ""


def number(value: float) -> str:
    """A count with thousands apart: ``1,200,000``."""
    return f"{value:,}"


def size(octets: float) -> str:
    """An amount of data: ``512 bytes``, ``1.3 MB``."""
    if octets < 1000:
        return plural(int(octets), "byte")
    power = min(int(log(octets, 1000)), len(UNITS))
    return f"{octets / 1000**power:.1f} {UNITS[power - 1]}"


def summary(counts: Mapping[str, int]) -> str:
    """A component's counts in one line: ``5 tables, 1,200,000 rows, 34.1 MB``."""
    return ", ".join(
        size(count) if what.endswith("bytes") else f"{number(count)} {what}" for what, count in counts.items()
    )


def shorten(text: str, limit: int = 160) -> str:
    """The text, cut where it is longer than `limit` characters, and saying so."""
    return text if len(text) <= limit else f"{text[:limit]}… ({number(len(text))} characters)"


def _seconds(value: timedelta | float) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _two(amount: int, ratio: int, big: str, small: str) -> str:
    head, rest = divmod(amount, ratio)
    return f"{plural(head, big)} {plural(rest, small)}" if rest else plural(head, big)
