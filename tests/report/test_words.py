"""Numbers, times and durations as people say them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rollback_provider.report import words


@pytest.mark.parametrize(
    ("seconds", "long", "short"),
    [
        (0, "0 seconds", "0 s"),
        (0.0002, "<1 ms", "<1 ms"),
        (0.412, "412 ms", "412 ms"),
        (0.9999, "1 second", "1 s"),
        (1.24, "1.2 seconds", "1.2 s"),
        (9.96, "10 seconds", "10 s"),
        (59.4, "59 seconds", "59 s"),
        (59.7, "1 minute", "1 min"),
        (252, "4 minutes 12 seconds", "4 min 12 s"),
        (3600, "1 hour", "1 h"),
        (7499, "2 hours 5 minutes", "2 h 5 min"),
        (86400 * 2, "2 days", "48 h"),
        (86400 * 2 + 3700, "2 days 1 hour", "49 h 2 min"),
    ],
)
def test_durations(seconds: float, long: str, short: str) -> None:
    assert words.duration(seconds) == words.duration(timedelta(seconds=seconds)) == long
    assert words.short_duration(seconds) == short


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_000_000, "1.0 MB"),
        (34_100_000, "34.1 MB"),
        (10**9, "1.0 GB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes(octets: int, text: str) -> None:
    assert words.size(octets) == text


def test_summary_names_each_count() -> None:
    counts = {"tables": 5, "rows": 1_200_000, "bytes": 34_100_000}
    assert words.summary(counts) == "5 tables, 1,200,000 rows, 34.1 MB"


def test_shortened_text_says_how_long_it_was() -> None:
    assert words.shorten("a" * 10, 10) == "a" * 10
    assert words.shorten("a" * 2000, 5) == "aaaaa… (2,000 characters)"
