"""Execution: order, failures, kills, and two workers at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from threading import Event

import pytest

from rollback_provider.components.memory import (
    State,
    create_system,
    read_system,
    remove_system,
    write_row,
    write_system,
)
from rollback_provider.core.base import Json
from rollback_provider.core.capturer import take_snapshot
from rollback_provider.core.component import Connection, Progress
from rollback_provider.core.document import Record
from rollback_provider.core.errors import (
    BusyError,
    ComponentUnavailableError,
    ConfigurationError,
    DriftError,
    LockedError,
    NotFoundError,
    StoreUnavailableError,
)
from rollback_provider.core.executor import abandon, begin, execute
from rollback_provider.core.journal import Journal, is_open
from rollback_provider.core.model import ComponentSpec, Plan, Snapshot
from rollback_provider.core.planner import generate
from rollback_provider.core.record import load_record
from rollback_provider.core.repository import Repository, Store
from rollback_provider.core.verifier import verify
from tests.contract.faults import Fuse, FusedStore, KilledError
from tests.core.setting import ACTOR, BEFORE, Setting, Watched, no_connections

AFTER_BEGIN = 2
"""Moment of a :class:`Fuse` on the store at which `begin` is in the journal and no component is locked."""
AFTER_LOCKS = 6
"""Moment at which `begin` is in the journal and both components are locked."""


def snapshot_of(setting: Setting, snapshot_id: str) -> Snapshot:
    """A snapshot that was taken before."""
    return Repository(setting.store).snapshot(snapshot_id)


def kill(setting: Setting, moment: int) -> str:
    """Begins a rollback whose worker dies; its id."""
    plan = setting.migrated()
    with pytest.raises(KilledError):
        setting.execute(plan, store=FusedStore(setting.store, Fuse(moment)))
    return plan.rollback_id


def test_components_are_rolled_back_in_the_reverse_of_their_order(setting: Setting) -> None:
    plan = setting.migrated()
    assert [step.component for step in plan.steps] == ["app", "app", "db", "db"]
    record = setting.execute(plan)
    assert setting.is_back()
    assert record.execution.status == "executed"
    assert [step.status for step in record.execution.steps] == ["done"] * 4
    starts = [step.started for step in record.execution.steps]
    assert starts == sorted(starts, key=lambda start: start or record.timestamp)


def test_executing_again_does_nothing(setting: Setting) -> None:
    plan = setting.migrated()
    first = setting.execute(plan)
    write_row(setting.database, "orders", "1", {"total": "11"})
    assert setting.execute(plan) == first
    assert read_system(setting.database)["orders"]["1"] == {"total": "11"}


def test_an_unknown_rollback_is_not_found(setting: Setting) -> None:
    with pytest.raises(NotFoundError, match="no rollback 'rollback-x-1'"):
        execute(setting.store, "rollback-x-1", no_connections, setting.progress, actor=ACTOR)


class Breaking(Watched):
    """Progress that takes a system away at the n-th row."""

    def __init__(self, system: str, row: int) -> None:
        super().__init__(on_update=self._count)
        self._system = system
        self._rows_left = row

    def _count(self) -> None:
        self._rows_left -= 1
        if self._rows_left == 0:
            self.state = read_system(self._system)
            remove_system(self._system)

    def repair(self) -> None:
        """Brings the system back as it was."""
        create_system(self._system, self.state)


def test_a_failed_step_leaves_the_status_and_is_recorded_beside_it(setting: Setting) -> None:
    plan = setting.migrated()
    breaking = Breaking(setting.database, 4)  # 3 rows of app, then the first of db
    with pytest.raises(ComponentUnavailableError, match=r"^db: ") as caught:
        setting.execute(plan, progress=breaking)
    assert "Nothing was changed" not in str(caught.value), "three rows of app were"
    assert f"Step {plan.steps[2].id} is unfinished" in str(caught.value)
    record = load_record(setting.store, plan.rollback_id)
    assert record.execution.status == "ready"
    assert record.execution.error.startswith("db: There is no memory system")
    assert [step.status for step in record.execution.steps] == ["done", "done", "failed", "pending"]
    assert record.execution.steps[2].error == record.execution.error
    assert record.execution.finished is None

    breaking.repair()
    record = setting.execute(plan)
    assert setting.is_back()
    assert record.execution.status == "executed"
    assert record.execution.error == ""
    assert record.execution.attempts == 2
    assert [step.attempts for step in record.execution.steps] == [1, 1, 2, 1]


def test_a_rollback_that_failed_half_way_owns_its_components_until_it_is_done(setting: Setting) -> None:
    first = setting.migrated()
    second = setting.plan(snapshot_of(setting, first.snapshot_id))
    breaking = Breaking(setting.database, 4)
    with pytest.raises(ComponentUnavailableError):
        setting.execute(first, progress=breaking)
    breaking.repair()

    with pytest.raises(LockedError, match=f"abandon {first.rollback_id}"):
        setting.execute(second)
    refused = load_record(setting.store, second.rollback_id)
    assert refused.execution.status == "ready"
    assert first.rollback_id in refused.execution.error
    with pytest.raises(LockedError, match=first.rollback_id):
        setting.plan(snapshot_of(setting, first.snapshot_id))

    setting.execute(first)
    assert setting.execute(second).execution.status == "executed"
    assert setting.is_back()


def test_an_abandoned_rollback_frees_its_components_and_cannot_be_executed(setting: Setting) -> None:
    first = setting.migrated()
    second = setting.plan(snapshot_of(setting, first.snapshot_id))
    breaking = Breaking(setting.database, 4)
    with pytest.raises(ComponentUnavailableError):
        setting.execute(first, progress=breaking)
    breaking.repair()
    half_way = read_system(setting.database)

    assert abandon(setting.store, first.rollback_id, actor=ACTOR).abandoned
    assert abandon(setting.store, first.rollback_id, actor=ACTOR).abandoned
    assert read_system(setting.database) == half_way
    with pytest.raises(ConfigurationError, match="was abandoned"):
        setting.execute(first)
    assert setting.execute(second).execution.status == "executed"
    assert setting.is_back()


def test_an_executed_rollback_cannot_be_abandoned(setting: Setting) -> None:
    plan = setting.migrated()
    setting.execute(plan)
    with pytest.raises(ConfigurationError, match="was executed"):
        abandon(setting.store, plan.rollback_id, actor=ACTOR)
    assert not load_record(setting.store, plan.rollback_id).abandoned


def test_drift_is_refused_before_anything_is_changed_and_leaves_nothing_locked(setting: Setting) -> None:
    plan = setting.migrated()
    write_system(setting.database, read_system(setting.database) | {"new": {}})
    with pytest.raises(DriftError, match=r"^db: "):
        setting.execute(plan)
    assert "migrated" in read_system(setting.application)["orders"]["1"], "not even the component that had not drifted"
    record = load_record(setting.store, plan.rollback_id)
    assert (record.execution.status, record.execution.attempts) == ("ready", 1)
    assert all(step.status == "pending" for step in record.execution.steps)

    again = setting.plan(snapshot_of(setting, plan.snapshot_id))
    assert setting.execute(again).execution.status == "executed"


def test_drift_after_the_first_step_is_our_own(setting: Setting) -> None:
    snapshot = setting.snapshot()
    for system in (setting.database, setting.application):
        write_system(system, read_system(system) | {"added": {"1": {"a": "b"}}})
    plan = setting.plan(snapshot)
    with pytest.raises(KilledError):
        setting.execute(plan, store=FusedStore(setting.store, Fuse(AFTER_LOCKS + 17)))
    assert Journal(setting.store, plan.rollback_id).done(plan.steps[0].id)
    setting.execute(plan)
    assert setting.is_back()


@pytest.mark.parametrize("moment", [AFTER_BEGIN, AFTER_LOCKS])
def test_a_worker_killed_before_its_first_step_is_resumed(setting: Setting, moment: int) -> None:
    rollback_id = kill(setting, moment)
    assert [event.kind for event in Journal(setting.store, rollback_id).events] == ["begin"]
    record = execute(setting.store, rollback_id, no_connections, setting.progress, actor=ACTOR)
    assert (record.execution.status, record.execution.attempts) == ("executed", 2)
    assert setting.is_back()


def test_a_worker_killed_before_its_first_step_still_checks_for_drift(setting: Setting) -> None:
    rollback_id = kill(setting, AFTER_LOCKS)
    snapshot_id = load_record(setting.store, rollback_id).snapshot.id
    with pytest.raises(LockedError, match=rollback_id):
        setting.plan(snapshot_of(setting, snapshot_id))
    write_system(setting.database, read_system(setting.database) | {"new": {}})
    with pytest.raises(DriftError):
        execute(setting.store, rollback_id, no_connections, setting.progress, actor=ACTOR)
    again = setting.plan(snapshot_of(setting, snapshot_id))
    assert setting.execute(again).execution.status == "executed"


@pytest.mark.parametrize("written", [False, True])
def test_a_worker_killed_around_its_last_entry_leaves_nothing_undone_or_locked(setting: Setting, written: bool) -> None:
    plan = setting.migrated()
    whole = Fuse()
    rehearsal = setting.plan(snapshot_of(setting, plan.snapshot_id))
    setting.execute(rehearsal, store=FusedStore(setting.store, whole))
    setting.migrate()
    with pytest.raises(KilledError):
        setting.execute(plan, store=FusedStore(setting.store, Fuse(whole.count - (not written))))
    assert setting.is_back()
    kinds = [event.kind for event in Journal(setting.store, plan.rollback_id).events]
    assert kinds[-1] == ("executed" if written else "done")
    if written:
        assert not setting.plan(snapshot_of(setting, plan.snapshot_id)).steps, "nobody has to clean up"
    assert setting.execute(plan).execution.status == "executed"
    assert setting.verify(plan).execution.status == "verified"


def test_of_two_workers_on_one_rollback_the_first_stops(setting: Setting) -> None:
    plan = setting.migrated()
    second: list[str] = []

    def take_over() -> None:
        if not second:
            second.append("running")
            second.append(setting.execute(plan, progress=Watched()).execution.status)

    with pytest.raises(LockedError, match=f"Another worker is executing rollback {plan.rollback_id}"):
        setting.execute(plan, progress=Watched(on_update=take_over))
    assert second == ["running", "executed"]
    assert setting.is_back()
    record = load_record(setting.store, plan.rollback_id)
    assert record.execution.status == "executed"
    assert record.execution.error == ""


def test_a_worker_that_is_too_late_does_not_free_the_components_of_the_other(setting: Setting) -> None:
    plan = setting.migrated()

    class Late(FusedStore):
        """Lets the other worker begin between reading the journal and writing to it."""

        def create(self, name: str, document: Json) -> None:
            if name.endswith("/journal/rollback/00000001"):
                with pytest.raises(KilledError):
                    setting.execute(plan, store=FusedStore(setting.store, Fuse(AFTER_LOCKS)))
            super().create(name, document)

    with pytest.raises(LockedError, match="Another worker"):
        setting.execute(plan, store=Late(setting.store, Fuse()))
    with pytest.raises(LockedError, match=plan.rollback_id):
        setting.plan(snapshot_of(setting, plan.snapshot_id))


def test_an_unexpected_error_is_recorded_without_its_text(setting: Setting) -> None:
    plan = setting.migrated()

    def fail() -> None:
        raise KeyError("postgres://user:secret@host")

    with pytest.raises(KeyError):
        setting.execute(plan, progress=Watched(on_update=fail))
    record = load_record(setting.store, plan.rollback_id)
    assert record.execution.steps[0].status == "failed"
    assert "KeyError" in record.execution.error
    assert "secret" not in record.execution.error


def test_a_store_that_cannot_record_a_failure_does_not_hide_it(setting: Setting) -> None:
    plan = setting.migrated()

    class Full(FusedStore):
        def create(self, name: str, document: Json) -> None:
            if document.get("kind") == "failed":
                raise StoreUnavailableError("The disk is full")
            super().create(name, document)

    full: Store = Full(setting.store, Fuse())
    with pytest.raises(ComponentUnavailableError):
        setting.execute(plan, store=full, progress=Breaking(setting.application, 1))


@pytest.mark.usefixtures("moving_kind")
def test_a_connection_that_leads_elsewhere_is_refused(setting: Setting) -> None:
    hosts = {"db": "old.example.com"}

    def connections(connection_id: str) -> Connection:
        return Connection(id=connection_id, type="memory", host=hosts[connection_id])

    spec = ComponentSpec(kind="moving", name="shop", connection="db", options={"system": setting.database})
    snapshot = take_snapshot(setting.store, "m", [spec], connections, setting.progress, actor=ACTOR)
    setting.migrate()
    plan = generate(setting.store, snapshot.id, connections, setting.progress, actor=ACTOR)
    migrated = read_system(setting.database)
    hosts["db"] = "new.example.com"
    with pytest.raises(ConfigurationError, match="another system"):
        generate(setting.store, snapshot.id, connections, setting.progress, actor=ACTOR)
    with pytest.raises(ConfigurationError, match="another system"):
        execute(setting.store, plan.rollback_id, connections, setting.progress, actor=ACTOR)
    assert read_system(setting.database) == migrated
    hosts["db"] = "old.example.com"
    execute(setting.store, plan.rollback_id, connections, setting.progress, actor=ACTOR)
    assert read_system(setting.database) == BEFORE
    hosts["db"] = "new.example.com"
    with pytest.raises(ConfigurationError, match="another system"):
        verify(setting.store, plan.rollback_id, connections, setting.progress, actor=ACTOR)


@dataclass
class Landscape:
    """Four systems, of which the database is migrated before the application, and the two others for themselves."""

    store: Store
    systems: dict[str, str]
    plan: Plan

    def execute(
        self, store: Store | None = None, progress: Progress | None = None, component: str | None = None
    ) -> Record:
        """Executes the plan, or one component of it."""
        return execute(
            store or self.store,
            self.plan.rollback_id,
            no_connections,
            progress or Watched(),
            actor=ACTOR,
            component=component,
        )

    def begin(self) -> None:
        """Begins it, for workers of one component each."""
        begin(self.store, self.plan.rollback_id, no_connections, Watched(), actor=ACTOR)

    def is_back(self) -> bool:
        """Every system is as it was."""
        return all(read_system(system) == BEFORE for system in self.systems.values())


@pytest.fixture
def make_landscape(memory_store: Store, make_system: Callable[[State], str]) -> Callable[[], Landscape]:
    def make() -> Landscape:
        systems = {name: make_system(BEFORE) for name in ("db", "app", "flags", "dns")}
        specs = [
            ComponentSpec(kind="memory", name=name, after=("db",) if name == "app" else (), options={"system": system})
            for name, system in systems.items()
        ]
        snapshot = take_snapshot(memory_store, "m", specs, no_connections, Watched(), actor=ACTOR)
        for system in systems.values():
            write_row(system, "orders", "1", {"total": "11"})
        write_system(systems["dns"], read_system(systems["dns"]) | {"zones": {"1": {"name": "shop"}}})
        return Landscape(
            memory_store, systems, generate(memory_store, snapshot.id, no_connections, Watched(), actor=ACTOR)
        )

    return make


def test_independent_components_go_on_when_one_fails(make_landscape: Callable[[], Landscape]) -> None:
    """And the error says which are back, and which are not begun for it."""
    landscape = make_landscape()
    application = landscape.systems["app"]

    class Away(Watched):
        def message(self, text: str) -> None:
            if text.startswith("app:"):
                remove_system(application)

    kept = read_system(application)
    with pytest.raises(ComponentUnavailableError, match=r"^app: ") as caught:
        landscape.execute(progress=Away())
    assert caught.value.state.endswith("Back: flags, dns; not back: app; not begun: db, which waits for app")
    create_system(application, kept)
    record = landscape.execute()
    assert landscape.is_back()
    assert {step.component: step.attempts for step in record.execution.steps} == {
        "app": 2,
        "db": 1,
        "flags": 1,
        "dns": 1,
    }


def test_a_worker_that_dies_anywhere_among_several_components_is_resumed(
    make_landscape: Callable[[], Landscape],
) -> None:
    for moment in count(1):
        landscape = make_landscape()
        try:
            landscape.execute(FusedStore(landscape.store, Fuse(moment)))
        except KilledError:
            assert landscape.execute().execution.status == "executed", f"killed at moment {moment}"
            assert landscape.is_back(), f"killed at moment {moment}"
        else:
            break
    assert moment > len(landscape.plan.steps) * 4


def test_components_are_executed_by_workers_of_their_own(make_landscape: Callable[[], Landscape]) -> None:
    """One after the other and at the same time; the last one completes the rollback, whoever that is."""
    landscape = make_landscape()
    with pytest.raises(ConfigurationError, match=r"^db: Rollback .* has not begun"):
        landscape.execute(component="db")
    landscape.begin()
    with pytest.raises(BusyError, match=r"^db: app must be back before"):
        landscape.execute(component="db")
    with pytest.raises(ConfigurationError, match=r"no part for component 'cdn'.*Name one of: db, app, flags, dns"):
        landscape.execute(component="cdn")
    with ThreadPoolExecutor() as pool:
        together = [pool.submit(landscape.execute, component=name) for name in ("app", "flags", "dns")]
    assert {future.result().execution.status for future in together} == {"ready"}
    landscape.begin()
    record = landscape.execute(component="db")
    assert record.execution.status == "executed"
    assert record.execution.attempts == 1
    assert landscape.is_back()
    assert landscape.execute(component="db").execution == record.execution


def test_drift_of_any_component_stops_the_beginning(make_landscape: Callable[[], Landscape]) -> None:
    landscape = make_landscape()
    write_system(landscape.systems["dns"], read_system(landscape.systems["dns"]) | {"new": {}})
    with pytest.raises(DriftError, match=r"^dns: "):
        landscape.begin()


def test_a_worker_of_one_component_that_dies_anywhere_is_resumed(make_landscape: Callable[[], Landscape]) -> None:
    for moment in count(1):
        landscape = make_landscape()
        landscape.begin()
        landscape.execute(component="flags")
        try:
            landscape.execute(FusedStore(landscape.store, Fuse(moment)), component="app")
        except KilledError:
            landscape.execute(component="app")
        else:
            break
        landscape.execute(component="dns")
        assert landscape.execute(component="db").execution.status == "executed", f"killed at moment {moment}"
        assert landscape.is_back(), f"killed at moment {moment}"
    assert moment > 4


def test_a_worker_that_looks_while_another_one_writes_changes_nothing_and_frees_nothing(
    make_landscape: Callable[[], Landscape],
) -> None:
    """It has read the journal before the other's first note: what the other has done since is no drift, and no state to come back to."""
    landscape = make_landscape()
    last = [step.id for step in landscape.plan.steps if step.component == "dns"][-1]
    opened, looked, written, over = Event(), Event(), Event(), Event()

    class First(FusedStore):
        def create(self, name: str, document: Json) -> None:
            if document.get("kind") == "intent":
                opened.set()
                assert looked.wait(10)
            if document.get("kind") == "done" and document["step"] == last:
                written.set()
                assert over.wait(10)
            super().create(name, document)

    class Second(FusedStore):
        def create(self, name: str, document: Json) -> None:
            if document.get("kind") == "begin":
                looked.set()
                assert written.wait(10)
            super().create(name, document)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(landscape.execute, First(landscape.store, Fuse()))
        assert opened.wait(10)
        with pytest.raises(LockedError, match="Another worker is executing"):
            landscape.execute(Second(landscape.store, Fuse()))
        journal = Journal(landscape.store, landscape.plan.rollback_id)
        assert [event.kind for event in journal.events if event.kind in {"refused", "before"}] == ["before"]
        assert is_open(landscape.store, landscape.plan.rollback_id)
        over.set()
        with pytest.raises(LockedError):
            first.result()
    assert landscape.execute().execution.status == "executed"
    assert landscape.is_back()
