"""The ledger: streamed out, complete, and small where it is shown."""

from __future__ import annotations

import pytest

from rollback_provider.core import ledger as module
from rollback_provider.core.ledger import SAMPLE, LedgerWriter, merge_ledgers, read_ledger
from rollback_provider.core.model import Action, LedgerEntry
from rollback_provider.store import SnapshotStore


def entry(number: int, action: Action = Action.DISCARDED) -> LedgerEntry:
    """One row."""
    return LedgerEntry(
        component="db",
        scope="public.orders",
        action=action,
        key={"id": str(number)},
        now={"note": "line\u2028\u0085\n", "tip": None},
    )


def test_entries_leave_in_blocks_and_come_back_in_order(
    memory_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_SIZE", 1000)
    writer = LedgerWriter(memory_store)
    for number in range(100):
        writer.add(entry(number))
        assert len(list(memory_store.blobs())) >= number // 10 - 1, "held in memory"
    sealed = writer.seal()
    assert len(sealed.blobs) > 5
    assert all(ref.size < 2000 for ref in sealed.blobs)
    rows = list(read_ledger(sealed, memory_store))
    assert [row["key"]["id"] for row in rows] == [str(number) for number in range(100)]
    assert [LedgerEntry.model_validate(row) for row in rows] == [entry(number) for number in range(100)]
    assert rows[0]["now"] == {"note": "line\u2028\u0085\n", "tip": None}, "a null is a value"


def test_the_record_keeps_counts_and_a_sample(memory_store: SnapshotStore) -> None:
    writer = LedgerWriter(memory_store)
    for number in range(SAMPLE + 5):
        writer.add(entry(number))
    writer.add(entry(1, Action.MERGED))
    writer.examined("db", "public.orders", 1000)
    writer.examined("db", "public.orders", 500)
    sealed = writer.seal()
    assert sealed.total() == SAMPLE + 6
    assert sealed.total(Action.DISCARDED) == SAMPLE + 5
    assert sealed.total(Action.MERGED, Action.KEPT) == 1
    assert len(sealed.sample) == SAMPLE + 1
    assert sealed.examined == {"db/public.orders": 1500}


def test_an_empty_ledger_writes_nothing(memory_store: SnapshotStore) -> None:
    sealed = LedgerWriter(memory_store).seal()
    assert not sealed.blobs
    assert not list(memory_store.blobs())
    assert not list(read_ledger(sealed, memory_store))


def test_ledgers_add_up(memory_store: SnapshotStore) -> None:
    parts = []
    for actions in ([Action.MERGED, Action.DISCARDED], [Action.MERGED]):
        writer = LedgerWriter(memory_store)
        for number, action in enumerate(actions):
            writer.add(entry(number, action))
        writer.examined("db", "public.orders", 10)
        parts.append(writer.seal())
    merged = merge_ledgers(parts)
    assert {count.action: count.count for count in merged.counts} == {Action.MERGED: 2, Action.DISCARDED: 1}
    assert merged.examined == {"db/public.orders": 20}
    assert len(list(read_ledger(merged, memory_store))) == 3
