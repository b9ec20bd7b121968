"""What all operators share: who acts, what a stopped task leaves behind, which errors are final, and what the log says."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from rollback_provider.components.memory import MemoryComponent, State, read_system, write_system
from rollback_provider.core import errors, registry
from rollback_provider.core.component import Blobs, Notes, Progress
from rollback_provider.core.model import Step, StepOutcome
from rollback_provider.core.record import load_record
from rollback_provider.core.repository import Repository
from rollback_provider.hooks.progress import LogProgress, describe
from rollback_provider.operators import (
    RollbackCheckpointOperator,
    RollbackExecuteOperator,
    RollbackGenerateOperator,
    RollbackPruneOperator,
    RollbackSnapshotOperator,
    RollbackVerifyOperator,
)
from rollback_provider.operators.base import FINAL, RollbackOperator, final_errors
from rollback_provider.store import SnapshotStore

BEFORE: State = {"orders": {str(number): {"total": "10"} for number in range(5)}}
AFTER: State = {"orders": {str(number): {"total": "0"} for number in range(5)}}


def context(task_id: str, **run: Any) -> dict[str, Any]:
    """What Airflow hands to a task, as far as operators look at it."""
    ti = SimpleNamespace(dag_id="orders", run_id="manual__1", task_id=task_id, map_index=-1)
    return {"ti": ti, "dag_run": SimpleNamespace(**run)}


class InterruptedComponent(MemoryComponent):
    """Has the task stopped while its step is running."""

    kind: ClassVar[str] = "interrupted"
    task: ClassVar[RollbackOperator | None] = None

    def apply(self, step: Step, blobs: Blobs, notes: Notes, progress: Progress) -> StepOutcome:
        """Applies; the task is stopped as soon as the first row is written."""

        class Stopping:
            def add(self, data: dict[str, Any]) -> None:
                notes.add(data)
                if InterruptedComponent.task and "begun" not in data:
                    InterruptedComponent.task.on_kill()

            earlier = staticmethod(notes.earlier)
            of = staticmethod(notes.of)

        return super().apply(step, blobs, Stopping(), progress)


@pytest.fixture
def planned(
    memory_store: SnapshotStore, make_system: Callable[[State], str], monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    """A system that was migrated, and the id of the rollback planned for it by the operators."""
    monkeypatch.setitem(registry.BUILT_IN, "interrupted", f"{__name__}:InterruptedComponent")
    system, store = make_system(BEFORE), memory_store.url
    component = {"kind": "interrupted", "name": "shop", "system": system}
    snapshot_id = RollbackSnapshotOperator(task_id="s", migration="shop", components=[component], store=store).run_in(
        context("snapshot", triggering_user_name="ada")
    )
    write_system(system, AFTER)
    RollbackCheckpointOperator(task_id="c", snapshot_id=snapshot_id, store=store).run_in(context("checkpoint"))
    rollback_id = RollbackGenerateOperator(task_id="g", snapshot_id=snapshot_id, store=store).run_in(
        context("generate")
    )
    return system, rollback_id


def test_records_say_who_acted(planned: tuple[str, str], memory_store: SnapshotStore) -> None:
    record = load_record(memory_store, planned[1])
    assert record.actor == "airflow orders/manual__1/generate"
    assert (
        Repository(memory_store).snapshot(record.snapshot.id).actor
        == "airflow orders/manual__1/snapshot (started by ada)"
    )


def test_a_stopped_task_stops_the_component_and_the_next_try_goes_on(
    planned: tuple[str, str], memory_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, rollback_id = planned
    stopped = RollbackExecuteOperator(task_id="e", rollback_id=rollback_id, store=memory_store.url)
    with monkeypatch.context() as patch:
        patch.setattr(InterruptedComponent, "task", stopped)
        with pytest.raises(errors.ComponentError, match="Cancelled"):
            stopped.run_in(context("execute"))
    assert read_system(system) not in (BEFORE, AFTER)
    again = RollbackExecuteOperator(task_id="e", rollback_id=rollback_id, store=memory_store.url)
    assert again.run_in(context("execute")) == rollback_id
    assert read_system(system) == BEFORE
    assert (
        RollbackVerifyOperator(task_id="v", rollback_id=rollback_id, store=memory_store.url).run_in(context("verify"))
        == rollback_id
    )


def test_a_rollback_that_did_not_bring_the_system_back_fails_at_once(
    planned: tuple[str, str], memory_store: SnapshotStore
) -> None:
    system, rollback_id = planned
    RollbackExecuteOperator(task_id="e", rollback_id=rollback_id, store=memory_store.url).run_in(context("execute"))
    write_system(system, AFTER)
    with pytest.raises(AirflowFailException, match=r"is not verified, 1 of 2 checks say so: shop rows orders\."):
        RollbackVerifyOperator(task_id="v", rollback_id=rollback_id, store=memory_store.url).run_in(context("verify"))


def test_a_policy_that_makes_no_sense_is_refused(planned: tuple[str, str], memory_store: SnapshotStore) -> None:
    snapshot_id = load_record(memory_store, planned[1]).snapshot.id
    task = RollbackGenerateOperator(task_id="g", snapshot_id=snapshot_id, conflicts="maybe", store=memory_store.url)
    with pytest.raises(errors.ConfigurationError, match="conflicts"):
        task.run_in(context("generate"))


@pytest.mark.parametrize("kind", FINAL)
def test_errors_that_a_retry_cannot_mend_are_final(kind: type[errors.RollbackError]) -> None:
    error = kind("It cannot be", component="shop")
    with pytest.raises(AirflowFailException, match=r"^shop: It cannot be") as raised, final_errors():
        raise error
    assert str(raised.value) == str(error)


@pytest.mark.parametrize(
    "kind", [errors.BusyError, errors.ComponentUnavailableError, errors.StoreUnavailableError, errors.LockedError]
)
def test_other_errors_are_left_to_airflows_retries(kind: type[errors.RollbackError]) -> None:
    with pytest.raises(kind), final_errors():
        raise kind("Not now")


def test_pruning_needs_a_rule_and_keeps_what_is_young(planned: tuple[str, str], memory_store: SnapshotStore) -> None:
    assert RollbackPruneOperator(task_id="p", keep_last=1, store=memory_store.url).run_in({}) == []
    assert planned[1] in Repository(memory_store).rollback_ids()
    with pytest.raises(errors.ConfigurationError):
        RollbackPruneOperator(task_id="p", store=memory_store.url).run_in({})


def test_progress_is_a_line_now_and_then(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 10.0, 11.0, 20.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    progress = LogProgress(logging.getLogger("test"))
    with caplog.at_level(logging.INFO):
        for done in (0, 100, 1000, 1100, 2000):
            progress.update("copy orders", done=done, total=2000)
    assert caplog.messages == [
        "copy orders: 1,000 of 2,000 rows (50 %), 100 a second, 10 s left",
        "copy orders: 2,000 of 2,000 rows (100 %), 100 a second",
    ]


@pytest.mark.parametrize(
    ("done", "total", "seconds", "text"),
    [
        (0, None, 0.0, "0 rows"),
        (50, None, 5.0, "50 rows, 10 a second"),
        (1, 7201, 1.0, "1 of 7,201 rows (0 %), 1 a second, 2 h 0 min left"),
        (10, 100, 10.0, "10 of 100 rows (10 %), 1 a second, 1 min 30 s left"),
    ],
)
def test_progress_in_words(done: float, total: float | None, seconds: float, text: str) -> None:
    assert describe(done, total, "rows", seconds) == text
