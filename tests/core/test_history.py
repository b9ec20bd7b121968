"""The history checker, on histories of one row."""

from __future__ import annotations

from typing import Any

import pytest

from rollback_provider.core.rehearsal.history import check_history
from rollback_provider.core.rehearsal.model import Write, WriteOutcome

ROW = ("shop.orders", ("5",))
GIVEN_UP = [{"scope": "shop.orders", "key": {"id": "5"}, "action": "conflict_restored"}]
KEPT = [{"scope": "shop.orders", "key": {"id": "5"}, "action": "conflict_kept"}]


def write(action: Any, token: str = "", *, known: bool = True) -> Write:
    """A write to the row."""
    return Write(
        scope=ROW[0],
        key=ROW[1],
        action=action,
        values={"note": token} if token else {},
        outcome=WriteOutcome.ACKNOWLEDGED if known else WriteOutcome.UNKNOWN,
    )


UPDATED = [write("update", "w1"), write("update", "w2")]
UNKNOWN = [write("update", "w1"), write("update", "w2", known=False)]


@pytest.mark.parametrize(
    ("writes", "now", "lost"),
    [
        (UPDATED, {"note": "w2"}, ""),
        (UPDATED, {"note": "w1"}, "note is 'w1', and an application wrote 'w2'"),
        (UPDATED, {"note": None}, "note is None"),
        (UPDATED, None, "is not there"),
        (UNKNOWN, {"note": "w1"}, ""),
        (UNKNOWN, {"note": "w2"}, ""),
        (UNKNOWN, {"note": "w0"}, "wrote 'w1' or 'w2'"),
        ([write("update", "w1", known=False)], {"note": "whatever it was"}, ""),
        ([write("update", "w1", known=False)], None, "is not there"),
        ([write("insert", "w1")], {"note": "w1"}, ""),
        ([write("insert", "w1")], None, "is not there"),
        ([write("insert", "w1", known=False)], None, ""),
        ([write("insert", "w1"), write("delete")], None, ""),
        ([write("insert", "w1"), write("delete")], {"note": "w1"}, "deleted it, and it is there"),
        ([write("insert", "w1"), write("delete", known=False)], {"note": "w1"}, ""),
        ([write("insert", "w1"), write("delete", known=False)], {"note": "w0"}, "wrote 'w1'"),
        ([write("update", "1000000007")], {"note": "1000000007.00"}, ""),
        ([write("update", "w1")], {"note": "w1   "}, ""),
    ],
)
def test_one_row(writes: list[Write], now: dict[str, str | None] | None, lost: str) -> None:
    found, listed = check_history(writes, {ROW: now}, [])
    assert not listed
    if lost:
        assert lost in found[0]
        assert check_history(writes, {ROW: now}, GIVEN_UP) == ([], 1)
        assert check_history(writes, {ROW: now}, KEPT) == (found, 0), "it promises what is not so"
    else:
        assert found == []


def test_a_row_that_was_not_read_counts_as_gone() -> None:
    assert check_history(UPDATED, {}, [])[0]
