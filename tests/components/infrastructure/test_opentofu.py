"""What can be wrong with stacks: held locks, stale plans, half-applied ones, other states, and what git does not hold."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rollback_provider.components.infrastructure.tofu import Stack
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import BusyError, ConfigurationError, DriftError, StepFailedError, UnsupportedError
from rollback_provider.core.repository import Store
from tests.contract.suite import Scenario
from tests.contract.test_opentofu import OpentofuHarness
from tests.fix_tofu import ENVIRONMENT, TOKEN, apply_version, run_tofu
from tests.parts.repository import git


class OneStack(OpentofuHarness):
    """The stack ``web`` alone."""

    def __init__(self, stacks: Path, root: Path) -> None:
        super().__init__(stacks, root)
        self.environment = dict(ENVIRONMENT)
        self.web = root / "web"
        self.set(directories=[str(self.web)])

    def set(self, **options: object) -> None:
        """Sets options."""
        self.spec = self.spec.model_copy(update={"options": {**self.spec.options, **options}})

    def resolve(self, connection_id: str) -> Connection:
        """Values of variables."""
        return Connection(id=connection_id, type="opentofu", extra={"environment": self.environment})

    def commit(self, text: str) -> None:
        """Commits another configuration."""
        (self.web / "main.tf").write_text(text)
        git(self.web, "commit", "--quiet", "--all", "--message=more")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Somebody else holds the lock of the state."""
        with (self.root / "state/web.tfstate").open("r+") as state:
            fcntl.lockf(state, fcntl.LOCK_EX)
            yield


@pytest.fixture
def harness(stacks: Path, tmp_path: Path) -> OneStack:
    return OneStack(stacks, tmp_path / "infra")


@pytest.fixture
def scenario(harness: OneStack, memory_store: Store) -> Scenario:
    return Scenario(harness, memory_store)


def test_the_plan_that_is_approved_is_shown_without_secrets(harness: OneStack, scenario: Scenario) -> None:
    snapshot = scenario.snapshot()
    apply_version(harness.web, "v2")
    plan = scenario.generate(snapshot)
    (step,) = plan.steps
    assert 'resource "terraform_data" "queue"' in step.script
    assert "Plan: 2 to add, 0 to change, 3 to destroy." in step.script
    assert "worktree add" in step.script
    assert TOKEN not in json.dumps(plan.to_json())
    notes = plan.components[0].notes
    assert any("terraform_data.cache[0] is destroyed" in note for note in notes)
    assert any("the next apply from there migrates again" in note for note in notes)
    facts = snapshot.components[0].payload["facts"][str(harness.web)]
    assert facts["outputs"] == {"version": "v1"}
    assert "terraform_data.queue" in facts["resources"]


def test_the_checkout_is_not_disturbed(harness: OneStack, scenario: Scenario) -> None:
    snapshot = scenario.snapshot()
    apply_version(harness.web, "v2")
    (harness.web / "notes.txt").write_text("mine")
    (harness.web / ".git/info").mkdir(exist_ok=True)
    (harness.web / ".git/info/exclude").write_text("notes.txt\n")
    scenario.execute(scenario.generate(snapshot))
    assert git(harness.web, "rev-parse", "HEAD") == git(harness.web, "rev-parse", "v2")
    assert git(harness.web, "status", "--porcelain") == ""
    assert git(harness.web, "worktree", "list").count("\n") == 0
    assert (harness.web / "notes.txt").read_text() == "mine"
    assert run_tofu(harness.web, "output", "-raw", "version") == "v1"


def test_a_lock_that_somebody_holds_is_said_to_be_held(harness: OneStack, scenario: Scenario) -> None:
    snapshot = scenario.snapshot()
    apply_version(harness.web, "v2")
    plan = scenario.generate(snapshot)
    with harness.locked(), pytest.raises(BusyError, match="state lock"):
        scenario.execute(plan)
    assert "v2" in str(harness.state())
    scenario.execute(plan)
    assert scenario.verify(plan).execution.status == "verified"


def test_a_plan_that_would_do_more_than_was_approved_is_stale(harness: OneStack, scenario: Scenario) -> None:
    snapshot = scenario.snapshot()
    apply_version(harness.web, "v2")
    plan = scenario.generate(snapshot)
    before = harness.state()
    harness.environment["TF_VAR_token"] = "tok-another"  # noqa: S105  of the test's own
    with pytest.raises(DriftError, match=r"stale: it would change terraform_data\.token otherwise"):
        scenario.execute(plan)
    assert harness.state() == before


def test_an_apply_since_the_plan_makes_it_stale(harness: OneStack, scenario: Scenario) -> None:
    snapshot = scenario.snapshot()
    apply_version(harness.web, "v2")
    plan = scenario.generate(snapshot)
    run_tofu(harness.web, "apply", "-auto-approve", "-replace=terraform_data.service")
    with pytest.raises(DriftError, match="infra"):
        scenario.execute(plan)


def test_an_apply_that_failed_half_way_is_continued(harness: OneStack, scenario: Scenario, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    text = (harness.web / "main.tf").read_text()
    slow = f"""
resource "terraform_data" "slow" {{
  input      = "old"
  depends_on = [terraform_data.service]
  provisioner "local-exec" {{ command = "test -e {gate}" }}
}}
"""
    gate.touch()
    harness.commit(text + slow)
    run_tofu(harness.web, "apply", "-auto-approve")
    before = harness.state()
    snapshot = scenario.snapshot()
    apply_version(harness.web, "v2")
    gate.unlink()
    plan = scenario.generate(snapshot)
    with pytest.raises(StepFailedError, match="test -e"):
        scenario.execute(plan)
    assert "tainted" in (harness.root / "state/web.tfstate").read_text()
    gate.touch()
    scenario.execute(plan)
    scenario.assert_back(plan, before)


@pytest.mark.parametrize("applied", [True, False])
def test_what_is_not_as_its_commit_says_is_refused(harness: OneStack, scenario: Scenario, *, applied: bool) -> None:
    if applied:
        (harness.web / "main.tf").write_text(f"{(harness.web / 'main.tf').read_text()}# by night\n")
        said = "holds what is not committed: main.tf"
    else:
        git(harness.web, "checkout", "--quiet", "v2")
        said = r"is not what commit \w+ says: .*terraform_data.cache"
    with pytest.raises(UnsupportedError, match=said):
        scenario.snapshot()


def test_another_state_cannot_be_reached_by_configuration(harness: OneStack, scenario: Scenario) -> None:
    snapshot = scenario.snapshot()
    (harness.root / "state/web.tfstate").unlink()
    apply_version(harness.web, "v2")
    with pytest.raises(UnsupportedError, match="another one than in the snapshot"):
        scenario.generate(snapshot)


def test_a_first_apply_is_taken_back_by_destroying(harness: OneStack, scenario: Scenario) -> None:
    harness.set(directories=[str(harness.root / "admin")])
    snapshot = scenario.snapshot()
    apply_version(harness.root / "admin", "v1")
    plan = scenario.generate(snapshot)
    assert "everything there is destroyed" in str(plan.components[0].notes)
    assert "plan -out=rollback.tfplan -destroy" in plan.steps[0].script
    scenario.execute(plan)
    assert scenario.verify(plan).execution.status == "verified"
    assert harness.state()["admin"] == ({}, [])


def test_a_directory_without_a_backend_is_refused(harness: OneStack, scenario: Scenario) -> None:
    (harness.web / ".terraform/terraform.tfstate").unlink()
    with pytest.raises(UnsupportedError, match="not initialized with a backend"):
        scenario.snapshot()


def test_a_commit_with_another_backend_is_refused(harness: OneStack, scenario: Scenario) -> None:
    text = (harness.web / "main.tf").read_text()
    harness.commit(text.replace('backend "local" { path = "../state/web.tfstate" }', ""))
    with pytest.raises(UnsupportedError, match="backend"):
        scenario.snapshot()


def test_a_program_that_is_missing_is_named(harness: OneStack, scenario: Scenario) -> None:
    harness.set(program="terraform-of-nobody")
    with pytest.raises(ConfigurationError, match="'terraform-of-nobody' is not installed"):
        scenario.snapshot()


def test_addresses_are_those_of_the_program() -> None:
    """Modules, keys of both kinds, and no data sources."""
    state = {
        "lineage": "l",
        "serial": 3,
        "outputs": {"open": {"value": 1}, "closed": {"value": 2, "sensitive": True}},
        "resources": [
            {"mode": "data", "type": "t", "name": "read", "instances": [{}]},
            {"mode": "managed", "type": "t", "name": "a", "module": "module.m[0]", "instances": [{"index_key": "k"}]},
            {"mode": "managed", "type": "t", "name": "b", "instances": [{"index_key": 0}, {"index_key": 1}]},
        ],
    }
    stack = Stack.from_json(json.dumps(state))
    assert stack is not None
    assert stack.resources == ('module.m[0].t.a["k"]', "t.b[0]", "t.b[1]")
    assert stack.outputs == {"open": 1}
