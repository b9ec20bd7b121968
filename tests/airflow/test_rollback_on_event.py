"""The sample DAG that an asset event starts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rollback_provider.components.memory import State, read_system, write_system
from rollback_provider.core.capturer import take_checkpoint, take_snapshot
from rollback_provider.core.record import load_record
from rollback_provider.core.registry import parse_specs
from rollback_provider.store import SnapshotStore
from tests.airflow.scenario import BEFORE
from tests.core.setting import no_connections
from tests.fix_airflow import Run
from tests.fix_progress import RecordedProgress


@pytest.fixture
def system(make_system: Callable[[State], str], memory_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """A shop that was migrated: its orders cost nothing now."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_ROLLBACK_STORE_DEFAULT", json.dumps({"conn_type": "rollback_store", "host": memory_store.url})
    )
    return make_system(BEFORE)


@pytest.fixture
def snapshot_id(system: str, memory_store: SnapshotStore) -> str:
    """Of before the migration."""
    specs = parse_specs([{"kind": "memory", "name": "shop", "system": system}])
    snapshot = take_snapshot(memory_store, "amounts", specs, no_connections, RecordedProgress(), actor="test")
    write_system(system, {"orders": {"1": {"total": "0"}}})
    take_checkpoint(memory_store, snapshot.id, no_connections, RecordedProgress(), actor="test")
    return snapshot.id


def test_an_event_takes_a_migration_back(
    run_on_events: Callable[..., Run], system: str, snapshot_id: str, memory_store: SnapshotStore
) -> None:
    asked = {"migration": "amounts", "reason": "orders cost nothing"}
    run = run_on_events("rollback_on_event", asked, asked)
    assert run.state == "success"
    assert read_system(system) == BEFORE
    record = load_record(memory_store, run.xcom("generate"))
    assert (record.execution.status, record.snapshot.id) == ("verified", snapshot_id)
    assert record.cause
    assert (record.cause.what, record.cause.source) == ("orders cost nothing", "asset rollback_wanted")


@pytest.mark.parametrize(
    "events",
    [
        [{}],
        [{"reason": "it is slow"}],
        [{"migration": "amounts", "snapshot_id": "amounts-20261125T120000Z-0123456789ab"}],
        [{"snapshot_id": "../../secrets"}],
        [{"migration": "amounts"}, {"migration": "other"}],
        [],
    ],
)
def test_an_event_that_does_not_say_what_changes_nothing(
    run_on_events: Callable[..., Run], system: str, snapshot_id: str, events: list[dict[str, Any]]
) -> None:
    run = run_on_events("rollback_on_event", *events)
    assert (run.state, run.states["generate"], run.tries["generate"]) == ("failed", "failed", 1)
    assert read_system(system) != BEFORE
