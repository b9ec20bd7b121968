"""What components promise beyond the contract whose systems are sets of resources: how they meet writes of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import pytest

from rollback_provider.core.errors import ConflictError, DriftError
from rollback_provider.core.model import Action, Policy
from rollback_provider.core.repository import Store
from tests.contract.faults import Fuse, KilledError
from tests.contract.harness import Harness
from tests.contract.suite import ContractSuite, Scenario


class ResourceHarness(Harness, Protocol):
    """`drift` changes a field that the migration has changed, or a resource that it has made."""

    def drifted(self) -> bool:
        """Whether what `drift` wrote is there still."""
        ...


class ResourceSuite(ContractSuite):
    """Each test is a promise of :class:`rollback_provider.resources.ResourceComponent`."""

    @pytest.fixture
    def harness(self, scenario: Scenario) -> ResourceHarness:
        """The system to migrate and to roll back."""
        return cast(ResourceHarness, scenario.harness)

    def test_what_somebody_else_changed_of_the_migration_is_kept_and_listed(
        self, scenario: Scenario, harness: ResourceHarness
    ) -> None:
        """Policy ``conflicts: keep``."""
        snapshot = scenario.snapshot()
        harness.migrate()
        scenario.checkpoint(snapshot)
        harness.drift()
        plan = scenario.generate(snapshot)
        assert plan.ledger.total(Action.CONFLICT_KEPT) == 1
        scenario.execute(plan)
        assert harness.drifted()
        assert scenario.verify(plan).execution.status == "verified"

    def test_what_somebody_else_changed_of_the_migration_goes_where_the_policy_says_so(
        self, scenario: Scenario, harness: ResourceHarness
    ) -> None:
        """Policy ``conflicts: restore``; and ``fail`` stops before anything is changed."""
        before = harness.state()
        snapshot = scenario.snapshot()
        harness.migrate()
        scenario.checkpoint(snapshot)
        harness.drift()
        with pytest.raises(ConflictError, match=harness.spec.name):
            scenario.generate(snapshot, Policy(conflicts="fail"))
        plan = scenario.generate(snapshot, Policy(conflicts="restore"))
        assert plan.ledger.total(Action.CONFLICT_RESTORED) == 1
        scenario.execute(plan)
        assert not harness.drifted()
        assert harness.state() == before
        assert scenario.verify(plan).execution.status == "verified"
        harness.drift()
        assert scenario.verify(plan).execution.status == "executed", "the value in conflict is back"

    def test_what_somebody_changes_while_a_rollback_is_executed_stays(
        self, make_harness: Callable[[], Harness], memory_store: Store
    ) -> None:
        """Between any two moments of it: refused where nothing was done yet, kept from then on."""
        refused = kept = 0
        for moment in self.moments(4):
            scenario = Scenario(make_harness(), memory_store)
            harness = cast(ResourceHarness, scenario.harness)
            _, plan = scenario.migrated(write=False)
            try:
                scenario.execute(plan, Fuse(moment))
            except KilledError:
                harness.drift()
            else:
                break
            try:
                scenario.execute(plan)
            except DriftError:
                refused += 1
            else:
                kept += 1
            assert harness.drifted(), f"killed at moment {moment}"
        assert refused
        assert kept
