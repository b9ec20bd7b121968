"""The DAG that a person starts: nothing is changed before somebody has agreed, and the run ends as what it did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rollback_provider.components.memory import State, read_system
from rollback_provider.core.capturer import take_checkpoint, take_snapshot
from rollback_provider.core.component import Connection
from rollback_provider.core.journal import Journal
from rollback_provider.core.record import load_record
from rollback_provider.core.registry import parse_specs
from rollback_provider.store import SnapshotStore
from tests.airflow.scenario import BEFORE, migrate_shop
from tests.fix_airflow import Run
from tests.fix_progress import RecordedProgress

MIGRATED: State = {"orders": {"1": {"total": "0"}, "2": {"total": "20"}}}


def no_connection(connection_id: str) -> Connection:
    """The memory component wants none."""
    raise AssertionError(connection_id)


@pytest.fixture
def system(make_system: Callable[[State], str]) -> str:
    """A shop before its migration."""
    return make_system(BEFORE)


@pytest.fixture
def snapshot_id(memory_store: SnapshotStore, system: str, progress: RecordedProgress) -> str:
    """Snapshot of the shop, which has been migrated since."""
    specs = parse_specs([{"kind": "memory", "name": "shop", "system": system}])
    snapshot = take_snapshot(memory_store, "shop", specs, no_connection, progress, actor="test")
    migrate_shop({"system": system}, snapshot.id, "")
    take_checkpoint(memory_store, snapshot.id, no_connection, progress, actor="test")
    return snapshot.id


@pytest.fixture
def roll_back(run_dag: Callable[..., Run], memory_store: SnapshotStore) -> Callable[..., Run]:
    """Starts the DAG with what a person enters into the form."""
    form: dict[str, Any] = {
        "store": memory_store.url,
        "snapshot_id": None,
        "migration": None,
        "undo": None,
        "plan_only": False,
        "conflicts": "keep",
        "ambiguous": "restore",
    }
    return lambda answer="", **entered: run_dag("rollback", form | entered, answer)


def test_an_approved_rollback_ends_as_success(
    roll_back: Callable[..., Run], system: str, snapshot_id: str, memory_store: SnapshotStore
) -> None:
    run = roll_back("Approve", snapshot_id=snapshot_id)
    assert (run.state, set(run.states.values())) == ("success", {"success"})
    assert read_system(system) == BEFORE
    begin = next(event for event in Journal(memory_store, run.xcom("report")).events if event.kind == "begin")
    assert begin.actor.endswith("/execute (started by dag_test), approved by ada")


def test_a_rollback_is_undone(
    roll_back: Callable[..., Run], system: str, snapshot_id: str, memory_store: SnapshotStore
) -> None:
    rollback_id = roll_back("Approve", snapshot_id=snapshot_id).xcom("report")
    run = roll_back("Approve", undo=rollback_id)
    assert (run.state, set(run.states.values())) == ("success", {"success"})
    assert read_system(system) == MIGRATED
    assert load_record(memory_store, run.xcom("report")).undoes == rollback_id


def test_a_rejected_rollback_leaves_everything_and_ends_as_failed(
    roll_back: Callable[..., Run], system: str, snapshot_id: str, memory_store: SnapshotStore
) -> None:
    run = roll_back("Reject", snapshot_id=snapshot_id)
    assert (run.state, run.states["execute"], run.states["verify"], run.states["report"]) == (
        "failed",
        "skipped",
        "skipped",
        "failed",
    )
    assert read_system(system) == MIGRATED
    assert load_record(memory_store, run.xcom("generate")).abandoned


def test_a_plan_alone_asks_nobody_and_changes_nothing(
    roll_back: Callable[..., Run], system: str, snapshot_id: str, memory_store: SnapshotStore
) -> None:
    run = roll_back(migration="shop", plan_only=True)
    assert (run.state, run.states["approve"], run.states["report"]) == ("success", "skipped", "success")
    assert read_system(system) == MIGRATED
    record = load_record(memory_store, run.xcom("report"))
    assert (record.snapshot.id, record.execution.status, record.abandoned) == (snapshot_id, "ready", False)


def test_the_question_shows_plan_and_ledger(
    roll_back: Callable[..., Run], snapshot_id: str, memory_store: SnapshotStore
) -> None:
    from airflow.models.hitl import HITLDetail
    from airflow.utils.session import create_session
    from sqlalchemy import select

    run = roll_back("Reject", snapshot_id=snapshot_id)
    asked = next(ti.id for ti in run.dag_run.get_task_instances() if ti.task_id == "approve")
    with create_session() as session:
        detail = session.scalars(select(HITLDetail).where(HITLDetail.ti_id == asked)).one()
        assert detail.subject == "Roll back shop? 2 steps, 0 ledger entries"
        assert detail.body
        assert "Restore promotions" in detail.body
        assert "Nothing is discarded, merged or in conflict" in detail.body


@pytest.mark.parametrize(
    "entered",
    [
        {},
        {"snapshot_id": "shop-20260101T000000Z-000000000000"},
        {"migration": "other"},
        {"undo": "rollback-shop-20260101T000000Z-000000000000"},
        {"migration": "shop", "undo": "rollback-shop-20260101T000000Z-000000000000"},
    ],
    ids=str,
)
def test_nothing_to_go_back_to_ends_as_failed(roll_back: Callable[..., Run], entered: dict[str, str]) -> None:
    run = roll_back(**entered)
    assert (run.state, run.states["generate"], run.states["execute"]) == ("failed", "failed", "upstream_failed")
