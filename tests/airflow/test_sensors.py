"""Sensors wait for what may still come, and fail at once for what cannot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from rollback_provider.components.memory import State, write_row
from rollback_provider.core.capturer import take_snapshot
from rollback_provider.core.component import Connection
from rollback_provider.core.executor import abandon, execute
from rollback_provider.core.planner import generate
from rollback_provider.core.registry import parse_specs
from rollback_provider.core.verifier import verify
from rollback_provider.sensors import RollbackSnapshotSensor, RollbackStatusSensor
from rollback_provider.store import SnapshotStore
from tests.fix_progress import RecordedProgress

BEFORE: State = {"orders": {"1": {"total": "10"}}}


def no_connection(connection_id: str) -> Connection:
    """The memory component wants none."""
    raise AssertionError(connection_id)


@pytest.fixture
def system(make_system: Callable[[State], str]) -> str:
    """A shop."""
    return make_system(BEFORE)


@pytest.fixture
def snapshot_id(memory_store: SnapshotStore, system: str, progress: RecordedProgress) -> str:
    """Its snapshot."""
    specs = parse_specs([{"kind": "memory", "name": "shop", "system": system}])
    return take_snapshot(memory_store, "shop", specs, no_connection, progress, actor="test").id


@pytest.fixture
def rollback_id(memory_store: SnapshotStore, system: str, snapshot_id: str, progress: RecordedProgress) -> str:
    """A rollback that has something to do."""
    write_row(system, "orders", "1", {"total": "0"})
    return generate(memory_store, snapshot_id, no_connection, progress, actor="test").rollback_id


def look(store: SnapshotStore, **what: Any) -> tuple[bool, str | None]:
    """Pokes the snapshot sensor once."""
    found = RollbackSnapshotSensor(task_id="wait", store=store.url, **what).poke({})
    return bool(found), found.xcom_value


def status(store: SnapshotStore, rollback_id: str, wanted: str) -> bool:
    """Pokes the status sensor once."""
    return RollbackStatusSensor(task_id="wait", store=store.url, rollback_id=rollback_id, status=wanted).poke({})


def test_a_sealed_snapshot_is_found(memory_store: SnapshotStore, snapshot_id: str) -> None:
    assert look(memory_store, snapshot_id=snapshot_id) == (True, snapshot_id)
    assert look(memory_store, migration="shop", max_age=timedelta(hours=1)) == (True, snapshot_id)


def test_a_snapshot_that_is_not_there_is_waited_for(memory_store: SnapshotStore) -> None:
    assert look(memory_store, snapshot_id="shop-20260101T000000Z-000000000000") == (False, None)
    assert look(memory_store, migration="shop") == (False, None)


def test_another_migration_of_a_similar_name_is_not_taken(memory_store: SnapshotStore, snapshot_id: str) -> None:
    assert snapshot_id.startswith("shop-")
    assert look(memory_store, migration="sh") == look(memory_store, migration="shop-2") == (False, None)


def test_an_old_snapshot_fails_by_id_and_waits_by_migration(memory_store: SnapshotStore, snapshot_id: str) -> None:
    assert look(memory_store, migration="shop", max_age=timedelta()) == (False, None)
    with pytest.raises(AirflowFailException, match="are allowed"):
        look(memory_store, snapshot_id=snapshot_id, max_age=timedelta())


def test_a_snapshot_that_is_not_whole_fails(memory_store: SnapshotStore, snapshot_id: str) -> None:
    for blob in list(memory_store.blobs()):
        memory_store.delete_blob(blob.digest, unless_after=blob.modified + timedelta(days=1))
    with pytest.raises(AirflowFailException, match="not whole"):
        look(memory_store, snapshot_id=snapshot_id)


def test_a_rollback_is_waited_for_until_it_is_done(
    memory_store: SnapshotStore, rollback_id: str, progress: RecordedProgress
) -> None:
    assert not status(memory_store, rollback_id, "executed")
    execute(memory_store, rollback_id, no_connection, progress, actor="test")
    assert status(memory_store, rollback_id, "executed")
    assert not status(memory_store, rollback_id, "verified")
    verify(memory_store, rollback_id, no_connection, progress, actor="test")
    assert status(memory_store, rollback_id, "verified")
    assert status(memory_store, rollback_id, "executed")


def test_an_abandoned_rollback_fails(memory_store: SnapshotStore, rollback_id: str) -> None:
    abandon(memory_store, rollback_id, actor="test")
    with pytest.raises(AirflowFailException, match="given up"):
        status(memory_store, rollback_id, "executed")


def test_a_rollback_that_did_not_bring_the_system_back_fails(
    memory_store: SnapshotStore, rollback_id: str, system: str, progress: RecordedProgress
) -> None:
    execute(memory_store, rollback_id, no_connection, progress, actor="test")
    write_row(system, "orders", "1", {"total": "0"})
    verify(memory_store, rollback_id, no_connection, progress, actor="test")
    with pytest.raises(AirflowFailException, match=r"not verified.*shop rows orders"):
        status(memory_store, rollback_id, "verified")
