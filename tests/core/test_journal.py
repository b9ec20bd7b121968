"""The journal, and the locks that hang on it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from rollback_provider.core import lock
from rollback_provider.core.errors import IntegrityError, LockedError
from rollback_provider.core.event import EventKind
from rollback_provider.core.journal import Journal, StepNotes, is_open
from rollback_provider.core.repository import Repository
from rollback_provider.store import SnapshotStore


def test_events_come_back_in_order(memory_store: SnapshotStore) -> None:
    journal = Journal(memory_store, "r")
    journal.append("begin", actor="ada")
    for number in range(12):
        StepNotes(journal, "1").add({"batch": number})
    journal.append("done", step="1", data={"changed": True})
    again = Journal(memory_store, "r")
    assert again.events == journal.events
    assert [event.number for event in again.events] == list(range(1, 15))
    assert [note["batch"] for note in StepNotes(again, "1").earlier()] == list(range(12))
    assert not StepNotes(again, "2").earlier()
    assert again.done("1")
    assert not again.done("2")


def test_the_second_to_a_number_is_told_so(memory_store: SnapshotStore) -> None:
    first, second = Journal(memory_store, "r"), Journal(memory_store, "r")
    first.append("begin")
    with pytest.raises(LockedError, match="Another worker is executing rollback r") as caught:
        second.append("begin")
    assert "rollbackctl show r" in str(caught.value)
    assert not second.events
    first.append("executed")
    assert [event.kind for event in Journal(memory_store, "r").events] == ["begin", "executed"]


def test_workers_on_different_components_do_not_meet(memory_store: SnapshotStore) -> None:
    first, second = Journal(memory_store, "r"), Journal(memory_store, "r")
    StepNotes(first, "db.1", "db").add({"batch": 1})
    StepNotes(second, "app.1", "app").add({"batch": 2})
    StepNotes(first, "db.1", "db").add({"batch": 3})
    with pytest.raises(LockedError):
        StepNotes(second, "db.1", "db").add({"batch": 4})
    second.refresh()
    assert [(event.component, event.number) for event in second.events] == [("db", 1), ("app", 1), ("db", 2)]
    memory_store.delete("rollbacks/r/journal/component-db/00000001")
    with pytest.raises(IntegrityError, match="gaps"):
        second.refresh()


def test_a_gap_is_noticed(memory_store: SnapshotStore) -> None:
    journal = Journal(memory_store, "r")
    for kind in ("begin", "intent", "done"):
        journal.append(kind, step="1")
    memory_store.delete("rollbacks/r/journal/rollback/00000002")
    with pytest.raises(IntegrityError, match="journal of rollback r has gaps"):
        Journal(memory_store, "r")


@pytest.mark.parametrize(
    "kinds",
    [
        ["begin"],
        ["begin", "refused", "begin"],
        ["begin", "intent"],
        ["begin", "intent", "note", "failed"],
        ["begin", "intent", "done"],
    ],
)
def test_a_journal_is_open_once_it_has_begun(memory_store: SnapshotStore, kinds: list[EventKind]) -> None:
    write(memory_store, kinds)
    assert is_open(memory_store, "r")


@pytest.mark.parametrize(
    "kinds",
    [
        [],
        ["begin", "refused"],
        ["begin", "intent", "done", "executed"],
        ["begin", "executed", "verified", "verified"],
        ["begin", "intent", "failed", "abandoned"],
        ["abandoned"],
    ],
)
def test_a_journal_is_closed_in_the_end(memory_store: SnapshotStore, kinds: list[EventKind]) -> None:
    write(memory_store, kinds)
    assert not is_open(memory_store, "r")


def write(store: SnapshotStore, kinds: list[EventKind]) -> None:
    """Writes a journal."""
    journal = Journal(store, "r")
    for kind in kinds:
        journal.append(kind)


def test_an_open_rollback_owns_its_component(memory_store: SnapshotStore) -> None:
    first, second = Journal(memory_store, "first"), Journal(memory_store, "second")
    assert lock.owner_of(memory_store, "postgres:1") is None
    first.append("begin")
    lock.acquire(memory_store, "postgres:1", "first", "db")
    lock.acquire(memory_store, "postgres:1", "first", "db")
    assert lock.owner_of(memory_store, "postgres:1") == "first"
    assert lock.owner_of(memory_store, "postgres:2") is None

    second.append("begin")
    with pytest.raises(LockedError, match=r"^db: Rollback first has begun"):
        lock.acquire(memory_store, "postgres:1", "second", "db")
    lock.acquire(memory_store, "postgres:2", "second", "db")

    first.append("executed")
    assert lock.owner_of(memory_store, "postgres:1") is None
    lock.acquire(memory_store, "postgres:1", "second", "db")
    assert lock.owner_of(memory_store, "postgres:1") == "second"


def test_a_refused_rollback_that_tries_again_must_queue(memory_store: SnapshotStore) -> None:
    first, second = Journal(memory_store, "first"), Journal(memory_store, "second")
    first.append("begin")
    lock.acquire(memory_store, "postgres:1", "first", "db")
    first.append("refused")
    second.append("begin")
    lock.acquire(memory_store, "postgres:1", "second", "db")
    first.append("begin")
    with pytest.raises(LockedError, match="Rollback second"):
        lock.acquire(memory_store, "postgres:1", "first", "db")


def test_of_many_at_once_one_wins(memory_store: SnapshotStore) -> None:
    rollbacks = [f"r{number}" for number in range(16)]
    for rollback_id in rollbacks:
        Journal(memory_store, rollback_id).append("begin")
    barrier = Barrier(len(rollbacks))

    def acquire(rollback_id: str) -> bool:
        barrier.wait()
        try:
            lock.acquire(memory_store, "postgres:1", rollback_id, "db")
        except LockedError:
            return False
        return True

    with ThreadPoolExecutor(len(rollbacks)) as pool:
        won = [rollback_id for rollback_id, ours in zip(rollbacks, pool.map(acquire, rollbacks), strict=True) if ours]
    assert len(won) == 1
    assert lock.owner_of(memory_store, "postgres:1") == won[0]


def test_a_sealed_document_of_another_shape_is_one_clear_error(memory_store: SnapshotStore) -> None:
    """Whoever wrote it, it is not what this version writes."""
    memory_store.create("rollbacks/r/journal/rollback/00000001", {"number": 1, "what": "is this"})
    with pytest.raises(IntegrityError, match="not of the shape"):
        Journal(memory_store, "r")
    memory_store.create("snapshots/s-20260101T000000Z-000000000000", {"id": "s", "what": "is this"})
    with pytest.raises(IntegrityError, match="not of the shape"):
        Repository(memory_store).snapshot("s-20260101T000000Z-000000000000")
