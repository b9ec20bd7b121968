"""The contract of every component, as tests: subclass :class:`ContractSuite` and give it a fixture ``make_harness``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from itertools import count
from typing import ClassVar

import pytest

from rollback_provider.core.capturer import take_checkpoint, take_snapshot
from rollback_provider.core.component import Component
from rollback_provider.core.document import Record
from rollback_provider.core.errors import (
    ComponentUnavailableError,
    ConfigurationError,
    ConflictError,
    DriftError,
    LockedError,
    PermissionDeniedError,
    RollbackError,
)
from rollback_provider.core.executor import abandon, execute
from rollback_provider.core.journal import Journal
from rollback_provider.core.model import Action, ComponentSpec, Plan, Policy, Snapshot
from rollback_provider.core.planner import generate
from rollback_provider.core.record import load_record
from rollback_provider.core.registry import build
from rollback_provider.core.repository import Repository, Store
from rollback_provider.core.undo import undo
from rollback_provider.core.verification import CheckStatus
from rollback_provider.core.verifier import verify
from rollback_provider.report.facts import outcome
from tests.contract.faults import Fuse, FusedProgress, FusedStore, KeptNotes, KilledError
from tests.contract.harness import Harness

ACTOR = "contract"
EVERY_MOMENT = os.environ.get("MOMENTS") == "all"
"""Whether workers are killed at every moment, whatever the stride."""


class Scenario:
    """One system, one store, and the five steps."""

    def __init__(self, harness: Harness, store: Store) -> None:
        self.harness = harness
        self.store = store
        self.progress = FusedProgress(Fuse())

    def snapshot(self) -> Snapshot:
        """Takes a snapshot."""
        return take_snapshot(
            self.store, "contract", [self.harness.spec], self.harness.resolve, self.progress, actor=ACTOR
        )

    def checkpoint(self, snapshot: Snapshot) -> None:
        """Takes a checkpoint."""
        take_checkpoint(self.store, snapshot.id, self.harness.resolve, self.progress, actor=ACTOR)

    def generate(self, snapshot: Snapshot, policy: Policy | None = None) -> Plan:
        """Makes a plan."""
        return generate(self.store, snapshot.id, self.harness.resolve, self.progress, actor=ACTOR, policy=policy)

    def execute(
        self, plan: Plan, fuse: Fuse | None = None, watch: Callable[[Component], None] = lambda _: None
    ) -> Record:
        """Executes it, with a worker that the fuse may kill."""
        fuse = fuse or Fuse()
        return execute(
            FusedStore(self.store, fuse),
            plan.rollback_id,
            self.harness.resolve,
            FusedProgress(fuse),
            actor=ACTOR,
            watch=watch,
        )

    def verify(self, plan: Plan) -> Record:
        """Verifies it."""
        return verify(self.store, plan.rollback_id, self.harness.resolve, self.progress, actor=ACTOR)

    def migrated(self, *, write: bool = True) -> tuple[Snapshot, Plan]:
        """Snapshot, migration, checkpoint, application, plan."""
        snapshot = self.snapshot()
        self.harness.migrate()
        self.checkpoint(snapshot)
        if write:
            self.harness.application_write()
        return snapshot, self.generate(snapshot)

    def undo(self, plan: Plan) -> Plan:
        """Plans to undo a rollback."""
        return undo(self.store, plan.rollback_id, self.harness.resolve, self.progress, actor=ACTOR)

    def assert_back(self, plan: Plan, expected: object) -> None:
        """The system is as expected, measured by the test and by the component, and there is nothing left to do."""
        assert self.harness.state() == expected
        record = self.verify(plan)
        assert record.execution.status == "verified", record.execution.verification
        assert record.execution.verification.checks
        assert not self.generate(Repository(self.store).snapshot(plan.snapshot_id)).steps


class ContractSuite:
    """Each test is a promise of :class:`rollback_provider.core.component.Component`."""

    stride: ClassVar[int] = 1
    """From one moment at which a worker is killed to the next that is tried, where not all are to be."""

    def moments(self, first: int) -> Iterator[int]:
        """Moments at which a worker is killed, without end; tests that begin at others try others."""
        return count(1) if EVERY_MOMENT else count((first - 1) % self.stride + 1, self.stride)

    @pytest.fixture
    def make_harness(self) -> Callable[[], Harness]:
        """Makes systems that are alike."""
        raise NotImplementedError

    @pytest.fixture
    def scenario(self, make_harness: Callable[[], Harness], memory_store: Store) -> Scenario:
        """A system to migrate and to roll back."""
        return Scenario(make_harness(), memory_store)

    @pytest.fixture
    def written(self, make_harness: Callable[[], Harness]) -> object:
        """The state that a rollback must lead to: never migrated, but written by the application."""
        never_migrated = make_harness()
        never_migrated.application_write()
        return never_migrated.state()

    @pytest.fixture
    def migrated(self, make_harness: Callable[[], Harness]) -> object:
        """The state that undoing a rollback must lead to: migrated, and written by the application."""
        never_rolled_back = make_harness()
        never_rolled_back.migrate()
        never_rolled_back.application_write()
        return never_rolled_back.state()

    def test_a_migration_is_taken_back(self, scenario: Scenario) -> None:
        """Without a checkpoint, everything since the snapshot goes."""
        before = scenario.harness.state()
        snapshot = scenario.snapshot()
        scenario.harness.migrate()
        assert scenario.harness.state() != before
        plan = scenario.generate(snapshot)
        assert scenario.execute(plan).execution.status == "executed"
        scenario.assert_back(plan, before)

    def test_what_applications_wrote_after_the_migration_stays(self, scenario: Scenario, written: object) -> None:
        """With a checkpoint, only the migration goes."""
        _, plan = scenario.migrated()
        scenario.execute(plan)
        scenario.assert_back(plan, written)

    def test_what_applications_write_after_the_plan_stays(self, scenario: Scenario, written: object) -> None:
        """Approval takes time, and applications do not wait."""
        _, plan = scenario.migrated(write=False)
        scenario.harness.application_write()
        scenario.execute(plan)
        scenario.assert_back(plan, written)

    def test_what_nobody_can_attribute_is_listed(self, scenario: Scenario) -> None:
        """Without a checkpoint an application's write is taken back, so the ledger must have it."""
        snapshot = scenario.snapshot()
        scenario.harness.migrate()
        without = scenario.generate(snapshot).ledger.total(Action.AMBIGUOUS)
        scenario.harness.application_write()
        assert scenario.generate(snapshot).ledger.total(Action.AMBIGUOUS) > without

    def test_what_nobody_can_attribute_is_refused_where_the_policy_says_so(self, scenario: Scenario) -> None:
        """Policy ``ambiguous: fail``."""
        snapshot = scenario.snapshot()
        scenario.harness.migrate()
        scenario.harness.application_write()
        with pytest.raises(ConflictError, match=scenario.harness.spec.name):
            scenario.generate(snapshot, Policy(ambiguous="fail"))

    def test_reading_changes_nothing(self, scenario: Scenario) -> None:
        """Snapshot, checkpoint, plan and verification are dry."""
        before = scenario.harness.state()
        snapshot = scenario.snapshot()
        assert scenario.harness.state() == before
        scenario.harness.migrate()
        migrated = scenario.harness.state()
        scenario.checkpoint(snapshot)
        plan = scenario.generate(snapshot)
        assert scenario.harness.state() == migrated
        scenario.execute(plan)
        back = scenario.harness.state()
        scenario.verify(plan)
        assert scenario.harness.state() == back

    def test_where_nothing_changed_there_are_no_steps(self, scenario: Scenario) -> None:
        """With and without a checkpoint; and executing that is fine."""
        before = scenario.harness.state()
        snapshot = scenario.snapshot()
        assert not scenario.generate(snapshot).steps
        scenario.checkpoint(snapshot)
        plan = scenario.generate(snapshot)
        assert not plan.steps
        assert not plan.ledger.total()
        scenario.execute(plan)
        scenario.assert_back(plan, before)

    def test_a_plan_is_complete_and_readable(self, scenario: Scenario) -> None:
        """A person approves it, and may have to run it by hand."""
        _, plan = scenario.migrated()
        name = scenario.harness.spec.name
        assert plan.steps
        assert plan.ledger.examined
        for step in plan.steps:
            assert step.component == name
            assert step.title
            assert step.script.strip()
        assert [part.component for part in plan.components] == [name]

    def test_a_step_applied_twice_does_nothing_the_second_time(self, scenario: Scenario, written: object) -> None:
        """Given the notes of the first time."""
        _, plan = scenario.migrated()
        scenario.execute(plan)
        journal = Journal(scenario.store, plan.rollback_id)
        component = build(scenario.harness.spec, scenario.harness.resolve)
        try:
            for step in plan.steps:
                component.apply(step, scenario.store, KeptNotes(journal, step.id), scenario.progress)
        finally:
            component.close()
        assert scenario.harness.state() == written

    def test_a_worker_killed_anywhere_is_resumed(
        self, make_harness: Callable[[], Harness], memory_store: Store, written: object
    ) -> None:
        """Before and after every write to the store, and wherever progress is told: then another worker takes over."""
        for moment in self.moments(1):
            scenario = Scenario(make_harness(), memory_store)
            _, plan = scenario.migrated()
            fuse = Fuse(moment)
            try:
                scenario.execute(plan, fuse)
            except KilledError:
                assert fuse.blown
            else:
                break
            assert load_record(scenario.store, plan.rollback_id).execution.status in {"ready", "executed"}
            assert scenario.execute(plan).execution.status == "executed", f"killed at moment {moment}"
            scenario.assert_back(plan, written)
        assert moment > len(plan.steps) * 4, "each step has at least an intent and an outcome, before and after"

    def test_two_migrations_are_taken_back_at_once(self, scenario: Scenario, written: object) -> None:
        """To the older snapshot; what applications wrote between the two and since stays."""
        first, _ = scenario.migrated()
        second = scenario.snapshot()
        scenario.harness.migrate_again()
        scenario.checkpoint(second)
        plan = scenario.generate(first)
        assert plan.through == (second.id,)
        assert not plan.ledger.total(Action.AMBIGUOUS, Action.CONFLICT_KEPT, Action.CONFLICT_RESTORED)
        scenario.execute(plan)
        assert scenario.harness.state() == written
        assert scenario.verify(plan).execution.status == "verified"
        assert load_record(scenario.store, plan.rollback_id).through == (second.id,)
        assert not scenario.generate(first).steps

    def test_a_later_migration_that_was_taken_back_is_no_part_of_it(self, scenario: Scenario, written: object) -> None:
        """One after the other comes to the same."""
        first, _ = scenario.migrated()
        second = scenario.snapshot()
        scenario.harness.migrate_again()
        scenario.checkpoint(second)
        scenario.execute(scenario.generate(second))
        plan = scenario.generate(first)
        assert plan.through == ()
        scenario.execute(plan)
        assert scenario.harness.state() == written

    def test_what_a_later_migration_did_is_not_known_without_a_checkpoint(self, scenario: Scenario) -> None:
        """The plan says so, or is refused."""
        first, _ = scenario.migrated()
        scenario.snapshot()
        plan = scenario.generate(first)
        assert plan.through == ()
        assert [note for part in plan.components for note in part.notes if "no checkpoint tells" in note]
        with pytest.raises(ConflictError, match="no checkpoint tells"):
            scenario.generate(first, Policy(ambiguous="fail"))

    def test_a_part_is_rolled_back_and_then_the_rest(self, scenario: Scenario, written: object) -> None:
        """The record never takes the part for the whole."""
        snapshot, whole = scenario.migrated()
        part = scenario.harness.part
        plan = scenario.generate(snapshot, Policy(only=(part,)))
        assert (
            0
            < len(json.dumps([step.payload for step in plan.steps]))
            < len(json.dumps([step.payload for step in whole.steps]))
        )
        scenario.execute(plan)
        record = scenario.verify(plan)
        assert record.execution.status == "verified", record.execution.verification
        assert record.policy.partial
        assert record.policy.only == (part,)
        assert "part" in outcome(record).title
        assert scenario.harness.state() != written
        assert not scenario.generate(snapshot, Policy(only=(part,))).steps
        rest = scenario.generate(snapshot)
        assert rest.steps
        scenario.execute(rest)
        scenario.assert_back(rest, written)

    def test_what_is_chosen_must_be_there(self, scenario: Scenario) -> None:
        """A name that means nothing would otherwise roll back nothing, and call that done."""
        snapshot, _ = scenario.migrated()
        with pytest.raises(ConfigurationError, match="no such thing"):
            scenario.generate(snapshot, Policy(only=("no such thing",)))
        name = scenario.harness.spec.name
        assert scenario.generate(snapshot, Policy(only=(name,))).steps

    def test_a_rollback_is_undone(self, scenario: Scenario, migrated: object, written: object) -> None:
        """Back to the migrated state, with what applications wrote before; and that is undone, too."""
        _, plan = scenario.migrated()
        scenario.execute(plan)
        scenario.verify(plan)
        undoing = scenario.undo(plan)
        assert scenario.undo(plan).snapshot_id == undoing.snapshot_id
        scenario.execute(undoing)
        assert scenario.harness.state() == migrated
        assert scenario.verify(undoing).execution.status == "verified"
        assert load_record(scenario.store, undoing.rollback_id).undoes == plan.rollback_id
        assert load_record(scenario.store, plan.rollback_id).undone_by == undoing.rollback_id
        again = scenario.undo(undoing)
        scenario.execute(again)
        assert scenario.harness.state() == written
        assert scenario.verify(again).execution.status == "verified"

    def test_what_applications_wrote_since_a_rollback_survives_its_undoing(
        self, scenario: Scenario, migrated: object
    ) -> None:
        """Nobody has to choose between the migration and the writes."""
        _, plan = scenario.migrated(write=False)
        scenario.execute(plan)
        scenario.harness.application_write()
        undoing = scenario.undo(plan)
        assert not undoing.ledger.total(Action.DISCARDED, Action.AMBIGUOUS, Action.CONFLICT_RESTORED)
        scenario.execute(undoing)
        assert scenario.harness.state() == migrated
        assert scenario.verify(undoing).execution.status == "verified"

    def test_a_rollback_that_was_killed_and_resumed_is_undone(
        self, make_harness: Callable[[], Harness], memory_store: Store, migrated: object
    ) -> None:
        """Wherever its worker died: what was done is known, and known once."""
        for moment in self.moments(2):
            scenario = Scenario(make_harness(), memory_store)
            _, plan = scenario.migrated()
            try:
                scenario.execute(plan, Fuse(moment))
            except KilledError:
                scenario.execute(plan)
            else:
                break
            undoing = scenario.undo(plan)
            assert not undoing.ledger.total()
            scenario.execute(undoing)
            assert scenario.harness.state() == migrated, f"killed at moment {moment}"

    def test_a_rollback_that_was_given_up_half_way_is_undone(
        self, make_harness: Callable[[], Harness], memory_store: Store, migrated: object
    ) -> None:
        """Then the system is as if it had never begun."""
        for moment in self.moments(3):
            scenario = Scenario(make_harness(), memory_store)
            _, plan = scenario.migrated()
            try:
                scenario.execute(plan, Fuse(moment))
            except KilledError:
                journal = Journal(scenario.store, plan.rollback_id)
                if journal.executed:
                    break
                abandon(scenario.store, plan.rollback_id, actor=ACTOR)
                if journal.touched:
                    undoing = scenario.undo(plan)
                    assert not undoing.ledger.total(), f"killed at moment {moment}"
                    scenario.execute(undoing)
                assert scenario.harness.state() == migrated, f"killed at moment {moment}"
            else:
                break

    def test_only_what_was_done_can_be_undone(self, scenario: Scenario) -> None:
        """Not a plan, not what is going on, and nothing twice."""
        _, plan = scenario.migrated()
        with pytest.raises(ConfigurationError, match="nothing to undo"):
            scenario.undo(plan)
        for moment in count(1):
            with pytest.raises(KilledError):
                scenario.execute(plan, Fuse(moment))
            if Journal(scenario.store, plan.rollback_id).touched:
                break
        with pytest.raises(LockedError, match="not finished"):
            scenario.undo(plan)
        scenario.execute(plan)
        scenario.execute(scenario.undo(plan))
        with pytest.raises(ConfigurationError, match="undone already"):
            scenario.undo(plan)
        with pytest.raises(ConfigurationError, match="was undone by"):
            scenario.verify(plan)

    def test_a_stale_plan_is_refused(self, scenario: Scenario) -> None:
        """What was approved is not what would happen. Nothing is changed, and a new plan can be made and executed."""
        snapshot, plan = scenario.migrated()
        scenario.harness.drift()
        drifted = scenario.harness.state()
        with pytest.raises(DriftError, match=scenario.harness.spec.name):
            scenario.execute(plan)
        assert scenario.harness.state() == drifted
        record = load_record(scenario.store, plan.rollback_id)
        assert record.execution.status == "ready"
        assert "changed" in record.execution.error
        again = scenario.generate(snapshot)
        assert scenario.execute(again).execution.status == "executed"

    def test_an_unreachable_system_is_one_clear_error(self, scenario: Scenario, written: object) -> None:
        """In each of the five steps; afterwards all goes on where it was."""
        harness = scenario.harness
        with harness.unreachable(), _unavailable(harness):
            scenario.snapshot()
        assert not Repository(scenario.store).snapshot_ids()
        snapshot = scenario.snapshot()
        harness.migrate()
        with harness.unreachable(), _unavailable(harness):
            scenario.checkpoint(snapshot)
        assert not Repository(scenario.store).checkpoints(snapshot.id)
        scenario.checkpoint(snapshot)
        harness.application_write()
        with harness.unreachable(), _unavailable(harness):
            scenario.generate(snapshot)
        assert not Repository(scenario.store).rollback_ids()
        plan = scenario.generate(snapshot)
        with harness.unreachable(), _unavailable(harness):
            scenario.execute(plan)
        scenario.execute(plan)
        with harness.unreachable(), _unavailable(harness):
            scenario.verify(plan)
        scenario.assert_back(plan, written)

    def test_refused_credentials_are_one_clear_error(self, scenario: Scenario) -> None:
        """And the message holds none of them."""
        with (
            scenario.harness.wrong_credentials(),
            pytest.raises(
                (ComponentUnavailableError, PermissionDeniedError), match=scenario.harness.spec.name
            ) as caught,
        ):
            scenario.snapshot()
        for secret in scenario.harness.secrets:
            assert secret not in str(caught.value)

    def test_a_cancelled_execution_continues_later(self, scenario: Scenario, written: object) -> None:
        """`cancel` comes from a signal handler, at any time."""
        _, plan = scenario.migrated()
        running: list[Component] = []

        class Cancelling(FusedProgress):
            def update(self, what: str, *, done: float, total: float | None = None, unit: str = "rows") -> None:
                for component in running:
                    component.cancel()

        try:
            execute(
                scenario.store,
                plan.rollback_id,
                scenario.harness.resolve,
                Cancelling(Fuse()),
                actor=ACTOR,
                watch=running.append,
            )
        except RollbackError as error:
            assert scenario.harness.spec.name in str(error)
        assert running
        scenario.execute(plan)
        scenario.assert_back(plan, written)

    def test_a_component_can_be_used_after_close(self, scenario: Scenario) -> None:
        """And closed twice, and closed unused."""
        component = build(scenario.harness.spec, scenario.harness.resolve)
        component.close()
        first = component.capture(scenario.store, scenario.progress)
        component.cancel()
        component.close()
        component.close()
        again = component.capture(scenario.store, scenario.progress)
        component.close()
        assert first.summary == again.summary
        assert all(isinstance(number, int) for number in first.summary.values())

    def test_the_manifest_alone_rebuilds_the_component(self, scenario: Scenario) -> None:
        """All that a rollback is told is an id."""
        snapshot = scenario.snapshot()
        stored = json.loads(json.dumps(scenario.store.read(f"snapshots/{snapshot.id}")))
        spec = ComponentSpec.model_validate(stored["components"][0]["spec"])
        assert spec == scenario.harness.spec
        component = build(spec, scenario.harness.resolve)
        try:
            assert component.identity() == stored["components"][0]["identity"]
            state = snapshot.components[0]
            plan = scenario.generate(snapshot).components[0]
            assert component.fingerprint(state, plan, scenario.store) == plan.fingerprint
        finally:
            component.close()

    def test_no_secret_is_stored(self, scenario: Scenario) -> None:
        """Not in a manifest, a plan, a journal or a record; nor in what a blob of a ledger holds."""
        _, plan = scenario.migrated()
        scenario.execute(plan)
        record = scenario.verify(plan)
        documents = [json.dumps(scenario.store.read(name)) for name in scenario.store.names("")]
        assert len(documents) > len(plan.steps)
        for secret in scenario.harness.secrets:
            assert secret not in json.dumps(record.to_json())
            assert not [document for document in documents if secret in document]

    def test_verification_can_fail(self, scenario: Scenario) -> None:
        """A system that is migrated again is not back."""
        _, plan = scenario.migrated()
        scenario.execute(plan)
        scenario.harness.migrate()
        record = scenario.verify(plan)
        assert record.execution.status == "executed"
        assert record.execution.verification.status is CheckStatus.FAILED
        failed = [check for check in record.execution.verification.checks if check.status is CheckStatus.FAILED]
        assert all(check.differences for check in failed)


def _unavailable(harness: Harness) -> pytest.RaisesExc[ComponentUnavailableError]:
    return pytest.raises(ComponentUnavailableError, match=harness.spec.name)
