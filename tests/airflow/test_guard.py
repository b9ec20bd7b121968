"""The guard, run by Airflow itself: each way a migration can end gives the run state and the outcome that are true."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rollback_provider.components.memory import State, create_system, read_system, remove_system
from rollback_provider.core import registry
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.record import load_record
from rollback_provider.core.repository import Repository
from rollback_provider.guard import rollback_guard
from rollback_provider.store import SnapshotStore
from tests.airflow.scenario import BEFORE, FragileComponent
from tests.fix_airflow import Run

ROLLBACK = ("rollback.generate", "rollback.execute", "rollback.verify")


@pytest.fixture
def system(make_system: Callable[[State], str]) -> str:
    """A shop before its migration."""
    return make_system(BEFORE)


@pytest.fixture
def migrate(run_dag: Callable[..., Run], memory_store: SnapshotStore, system: str) -> Callable[..., Run]:
    """Runs the guarded migration of the shop."""
    return lambda dag_id="guarded", **conf: run_dag(
        dag_id, {"system": system, "store": memory_store.url, "kind": "memory"} | conf
    )


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers a kind whose rollback fails once, half-way."""
    monkeypatch.setitem(registry.BUILT_IN, "fragile", "tests.airflow.scenario:FragileComponent")
    monkeypatch.setattr(FragileComponent, "failures", 1)


def ended(run: Run) -> tuple[str, str | None]:
    """The run's state, and its outcome."""
    return run.state, run.xcom("outcome", "outcome")


def rollback_states(run: Run) -> list[str | None]:
    """States of the rollback tasks."""
    return [run.states[name] for name in ROLLBACK]


def test_a_good_migration_is_migrated(migrate: Callable[..., Run], system: str) -> None:
    run = migrate()
    assert ended(run) == ("success", "MIGRATED")
    assert rollback_states(run) == ["skipped"] * 3
    assert read_system(system) == {"orders": {"1": {"total": "0"}, "2": {"total": "20"}}}


def test_a_migration_that_does_not_verify_is_rolled_back(
    migrate: Callable[..., Run], system: str, memory_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECK", "fail")
    run = migrate()
    assert ended(run) == ("failed", "ROLLED_BACK")
    assert rollback_states(run) == ["success"] * 3
    assert read_system(system) == BEFORE
    record = load_record(memory_store, run.xcom("rollback.verify"))
    assert record.execution.status == "verified"
    assert record.actor.endswith("/rollback.generate (started by dag_test)")
    assert record.cause
    assert record.cause.what == "The migration failed (verify_migration: failed)"


def test_a_migration_that_dies_in_the_middle_is_rolled_back(
    migrate: Callable[..., Run], system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIGRATE", "half")
    run = migrate()
    assert ended(run) == ("failed", "ROLLED_BACK")
    assert run.states["verify_migration"] == "upstream_failed"
    assert read_system(system) == BEFORE


def test_a_run_that_a_person_marks_failed_is_rolled_back(
    migrate: Callable[..., Run], system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIGRATE", "marked")
    run = migrate()
    assert ended(run) == ("failed", "ROLLED_BACK")
    assert run.states["verify_migration"] == "skipped"
    assert read_system(system) == BEFORE


def test_without_a_snapshot_nothing_runs(migrate: Callable[..., Run], system: str) -> None:
    run = migrate(kind="no-such-kind")
    assert ended(run) == ("failed", None)
    assert run.states["snapshot"] == "failed"
    assert {run.states[name] for name in ("migrate", "outcome", *ROLLBACK)} == {"upstream_failed"}
    assert read_system(system) == BEFORE


def test_a_migration_that_never_began_is_not_rolled_back(
    migrate: Callable[..., Run], system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREPARE", "fail")
    run = migrate()
    assert ended(run) == ("failed", "NOT_STARTED")
    assert rollback_states(run) == ["skipped"] * 3
    assert read_system(system) == BEFORE


@pytest.mark.usefixtures("fragile")
def test_a_rollback_that_fails_half_way_goes_on_when_it_is_cleared(
    migrate: Callable[..., Run], system: str, memory_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECK", "fail")
    run = migrate(kind="fragile")
    assert ended(run) == ("failed", "ROLLBACK_FAILED")
    assert rollback_states(run) == ["success", "failed", "skipped"]
    assert read_system(system)["orders"] == BEFORE["orders"]
    assert "promotions" not in read_system(system)

    again = run.clear("rollback.execute")
    assert ended(again) == ("failed", "ROLLED_BACK")
    assert read_system(system) == BEFORE
    assert len(Repository(memory_store).snapshot_ids()) == len(Repository(memory_store).rollback_ids()) == 1


@pytest.mark.usefixtures("fragile")
def test_a_rollback_that_fails_half_way_goes_on_when_its_plan_is_cleared(
    migrate: Callable[..., Run], system: str, memory_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECK", "fail")
    run = migrate(kind="fragile").clear("rollback.generate")
    assert ended(run) == ("failed", "ROLLED_BACK")
    assert read_system(system) == BEFORE
    assert len(Repository(memory_store).rollback_ids()) == 1


@pytest.mark.usefixtures("fragile")
def test_a_half_done_rollback_is_not_migrated_over(
    migrate: Callable[..., Run], system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECK", "fail")
    run = migrate(kind="fragile")
    left = read_system(system)
    again = run.clear("migrate")
    assert (again.state, again.states["snapshot"], again.states["migrate"]) == ("failed", "failed", "upstream_failed")
    assert read_system(system) == left


def test_a_failed_migration_can_be_tried_again(
    migrate: Callable[..., Run], system: str, memory_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIGRATE", "half")
    run = migrate()
    monkeypatch.delenv("MIGRATE")
    assert ended(run.clear("migrate")) == ("success", "MIGRATED")
    assert len(Repository(memory_store).snapshot_ids()) == 2


def test_a_good_verification_after_the_rollback_does_not_count_as_migrated(
    migrate: Callable[..., Run], system: str, memory_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECK", "fail")
    run = migrate()
    monkeypatch.delenv("CHECK")
    again = run.clear("verify_migration")
    assert again.state == "failed"
    assert (again.states["snapshot"], again.states["outcome"]) == ("failed", "upstream_failed")
    assert read_system(system) == BEFORE
    assert len(Repository(memory_store).snapshot_ids()) == 1


def test_a_snapshot_cleared_behind_a_migration_is_kept(
    migrate: Callable[..., Run], system: str, memory_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = migrate()
    monkeypatch.setenv("CHECK", "fail")
    again = run.clear("verify_migration")
    assert ended(again) == ("failed", "ROLLED_BACK")
    assert read_system(system) == BEFORE
    assert len(Repository(memory_store).snapshot_ids()) == 1


def test_clearing_only_what_failed_does_not_migrate_on_a_used_snapshot(
    migrate: Callable[..., Run], system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIGRATE", "half")
    run = migrate()
    again = run.clear(*run.states, only_failed=True)
    assert again.states["migrate"] == "failed"
    assert ended(again) == ("failed", "ROLLED_BACK")
    assert read_system(system) == BEFORE


def test_the_exact_checkpoint_of_the_migrate_task_is_kept(
    migrate: Callable[..., Run], system: str, memory_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIGRATE", "exact")
    monkeypatch.setenv("CHECK", "fail")
    run = migrate("unvouched")
    (checkpoint,) = Repository(memory_store).checkpoints(run.xcom("snapshot"))
    assert run.xcom("checkpoint") == checkpoint.id
    assert ended(run) == ("failed", "ROLLED_BACK")
    assert read_system(system) == {**BEFORE, "orders": BEFORE["orders"] | {"3": {"total": "30"}}}


def test_nobody_vouching_means_no_unattended_rollback_of_changed_data(
    migrate: Callable[..., Run], system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIGRATE", "write")
    monkeypatch.setenv("CHECK", "fail")
    run = migrate("unvouched")
    assert (run.xcom("checkpoint"), ended(run)) == (None, ("failed", "ROLLBACK_FAILED"))
    assert rollback_states(run) == ["failed", "skipped", "skipped"]
    assert read_system(system)["orders"]["3"] == {"total": "30"}


@pytest.mark.usefixtures("fragile")
def test_components_are_tasks_of_their_own_and_one_is_retried_by_itself(
    migrate: Callable[..., Run], system: str, memory_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not wait for the failed one is rolled back all the same."""
    systems = [system, f"{system}-site", f"{system}-flags"]
    for name in systems:
        create_system(name, BEFORE)
    monkeypatch.setenv("CHECK", "fail")
    run = migrate("several", kind="fragile")
    assert ended(run) == ("failed", "ROLLBACK_FAILED")
    executing = {name.rpartition(".")[2]: state for name, state in run.states.items() if ".execute." in name}
    assert executing == {"begin": "success", "site": "failed", "shop": "failed", "flags": "success"}
    assert [read_system(name) == BEFORE for name in systems] == [False, False, True]

    again = run.clear("rollback.execute.site")
    assert ended(again) == ("failed", "ROLLED_BACK")
    assert all(read_system(name) == BEFORE for name in systems)
    steps = load_record(memory_store, again.xcom("rollback.verify")).execution.steps
    assert {step.component: step.attempts for step in steps} == {"site": 2, "shop": 1, "flags": 1}
    for name in systems[1:]:
        remove_system(name)


def test_declared_checks_verify_the_migration_and_its_rollback(
    migrate: Callable[..., Run], system: str, memory_store: SnapshotStore
) -> None:
    run = migrate("checked")
    assert ended(run) == ("failed", "ROLLED_BACK")
    assert run.states["verify_migration"] == "failed"
    assert read_system(system) == BEFORE
    record = load_record(memory_store, run.xcom("rollback.verify"))
    before, after = record.migration_verification, record.execution.verification
    assert before
    assert [(check.name, check.status.value) for check in before.checks] == [("order 1 costs something", "failed")]
    assert (before.score, before.function and before.function.failed) == (0, 1)
    assert ("order 1 costs something", "passed") in [(check.name, check.status.value) for check in after.checks]
    assert (after.score, after.status.value) == (100, "passed")


def test_checks_of_the_rollback_alone_leave_the_migration_to_a_task(
    migrate: Callable[..., Run], memory_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECK", "fail")
    run = migrate("checked_beside")
    assert ended(run) == ("failed", "ROLLED_BACK")
    record = load_record(memory_store, run.xcom("rollback.verify"))
    assert record.migration_verification is None
    assert "order 1 costs something" in {check.name for check in record.execution.verification.checks}


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        ([], "Nothing verifies migration 'shop'"),
        ([{"kind": "callable", "name": "x", "callable": "a:b", "when": "rollback"}], "Nothing verifies"),
        ([{"kind": "sql", "name": "paid", "sql": "select 1"}], "'paid' names no connection"),
    ],
)
def test_a_guard_without_a_check_that_makes_sense_is_refused(checks: list[dict[str, str]], message: str) -> None:
    from airflow.sdk import DAG, task

    from rollback_provider.guard import rollback_guard

    with DAG("bad", schedule=None), pytest.raises(ConfigurationError, match=message):
        rollback_guard(
            migration="shop", components=[{"kind": "memory", "name": "shop"}], migrate=task(lambda: None), checks=checks
        )


def test_nobody_can_vouch_for_quiet_and_ask_for_tracking() -> None:
    with pytest.raises(ConfigurationError, match="`quiet` says that nobody else writes"):
        rollback_guard(migration="m", components=[], migrate=None, verify=None, quiet=True, track=True)
