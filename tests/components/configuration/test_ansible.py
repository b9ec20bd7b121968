"""Real runs of ansible-playbook on this machine: what a plan shows, what is changed, and what can be wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rollback_provider.core.component import Connection
from rollback_provider.core.errors import (
    ComponentUnavailableError,
    ConfigurationError,
    StepFailedError,
    UnsupportedError,
)
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.repository import Store
from tests.contract.suite import Scenario
from tests.contract.test_ansible import AnsibleHarness
from tests.parts import find_program
from tests.parts.repository import git, make_repository

SECRET = "pass-31ab77"  # noqa: S105  of the test's own
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: settings
      ansible.builtin.copy:
        dest: "{{ place }}/settings.txt"
        content: "workers NUMBER {{ color }}\\n"
        mode: "0644"
    - name: password
      ansible.builtin.copy:
        dest: "{{ place }}/password.txt"
        content: "{{ password }} NUMBER\\n"
        mode: "0600"
"""
BROKEN = """
- hosts: all
  gather_facts: false
  tasks:
    - name: broken
      ansible.builtin.fail: {msg: the disk is on fire}
      when: not ansible_check_mode
"""


class RealHarness(AnsibleHarness):
    """One service, deployed by real runs."""

    secrets = (SECRET,)
    part = "deployed/web"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.place = root / "place"
        self.place.mkdir(parents=True)
        inventory = f"local ansible_connection=local ansible_python_interpreter={sys.executable} place={self.place}\n"
        versions = {
            f"v{number}": {"site.yml": PLAY.replace("NUMBER", str(number)), "hosts": inventory} for number in (1, 2)
        }
        gone = {
            "site.yml": PLAY.replace("NUMBER", "3"),
            "hosts": "away ansible_host=127.0.0.1 ansible_port=1 place=/tmp\n",
        }
        self.commits = make_repository(
            root / "repository",
            {**versions, "broken": {"site.yml": BROKEN, "hosts": inventory}, "gone": gone},
        )
        self.spec = ComponentSpec(
            kind="ansible",
            name="services",
            connection="ansible",
            options={
                "repository": str(root / "repository"),
                "program": find_program("ansible-playbook"),
                "playbooks": {"deployed/web": {"playbook": "site.yml", "inventory": "hosts"}},
            },
        )

    def set(self, number: int, color: str) -> None:
        """What a run of a version leaves."""
        (self.place / "settings.txt").write_text(f"workers {number} {color}\n")
        (self.place / "password.txt").write_text(f"{SECRET} {number}\n")
        (self.place / "settings.txt").chmod(0o644)
        (self.place / "password.txt").chmod(0o600)
        self.tag(f"v{number}", color)

    def tag(self, version: str, color: str) -> None:
        """Says what is deployed."""
        message = json.dumps({"color": color})
        git(self.root / "repository", "tag", "-f", "-a", "-m", message, "deployed/web", version)

    def resolve(self, connection_id: str) -> Connection:
        """Extra variables that are secret."""
        return Connection(id=connection_id, type="ansible", extra={"extra_vars": {"password": SECRET}})


@pytest.fixture
def harness(tmp_path: Path) -> RealHarness:
    return RealHarness(tmp_path / "services")


@pytest.fixture
def scenario(harness: RealHarness, memory_store: Store) -> Scenario:
    return Scenario(harness, memory_store)


def test_a_playbook_is_taken_back_by_running_the_old_one(harness: RealHarness, scenario: Scenario) -> None:
    harness.set(1, "blue")
    snapshot = scenario.snapshot()
    harness.set(2, "green")
    plan = scenario.generate(snapshot)
    script = plan.steps[0].script
    assert "# -workers 2 green" in script
    assert "# +workers 1 blue" in script
    assert SECRET not in json.dumps(plan.to_json())
    assert "2 tasks would change something" in str(plan.components[0].notes)
    assert (harness.place / "settings.txt").read_text() == "workers 2 green\n"
    scenario.execute(plan)
    assert (harness.place / "settings.txt").read_text() == "workers 1 blue\n"
    assert (harness.place / "password.txt").read_text() == f"{SECRET} 1\n"
    assert scenario.verify(plan).execution.status == "verified"
    (harness.place / "settings.txt").write_text("by hand\n")
    checks = scenario.verify(plan).execution.verification.checks
    assert ["1 tasks would change something" in str(check.differences) for check in checks] == [False, True]


def test_hosts_that_are_not_what_the_tag_says_are_refused(harness: RealHarness, scenario: Scenario) -> None:
    harness.set(1, "blue")
    harness.tag("v2", "blue")
    with pytest.raises(UnsupportedError, match="2 tasks would change something"):
        scenario.snapshot()


def test_a_run_that_fails_is_said_and_run_again(harness: RealHarness, scenario: Scenario) -> None:
    harness.tag("broken", "blue")
    snapshot = scenario.snapshot()
    harness.set(2, "green")
    plan = scenario.generate(snapshot)
    for _ in range(2):
        with pytest.raises(StepFailedError, match="the disk is on fire"):
            scenario.execute(plan)
    assert git(harness.root / "repository", "rev-parse", "deployed/web^{commit}") == harness.commits["broken"]


def test_a_host_that_cannot_be_reached_is_said(harness: RealHarness, scenario: Scenario) -> None:
    harness.tag("gone", "blue")
    with pytest.raises(ComponentUnavailableError, match="UNREACHABLE"):
        scenario.snapshot()


def test_a_tag_that_says_something_else_is_refused(harness: RealHarness, scenario: Scenario) -> None:
    git(harness.root / "repository", "tag", "-f", "-a", "-m", "release of today", "deployed/web", "v1")
    with pytest.raises(UnsupportedError, match="no JSON object"):
        scenario.snapshot()


def test_a_first_deployment_is_refused_by_the_plan(harness: RealHarness, scenario: Scenario) -> None:
    snapshot = scenario.snapshot()
    harness.set(1, "blue")
    with pytest.raises(UnsupportedError, match="deployed for the first time"):
        scenario.generate(snapshot)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"program": "ansible-of-nobody"}, ConfigurationError, "not installed"),
        (
            {"playbooks": {"deployed/web": {"playbook": "no.yml", "inventory": "hosts"}}},
            UnsupportedError,
            r"has no no\.yml",
        ),
        ({"playbooks": {"--all": {"playbook": "site.yml", "inventory": "hosts"}}}, ConfigurationError, "wrong"),
        ({"playbooks": {"a": {"playbook": "/etc/passwd", "inventory": "hosts"}}}, ConfigurationError, "wrong"),
    ],
    ids=["program", "playbook", "tag", "path"],
)
def test_what_is_wrongly_configured_is_named(
    harness: RealHarness, scenario: Scenario, change: dict[str, object], error: type[Exception], said: str
) -> None:
    harness.set(1, "blue")
    harness.spec = harness.spec.model_copy(update={"options": {**harness.spec.options, **change}})
    with pytest.raises(error, match=said):
        scenario.snapshot()
