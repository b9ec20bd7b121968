"""Playbooks keep the contract, with the recorded command line of ansible-playbook: a real run takes seconds, and this takes hundreds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from rollback_provider.core.component import Connection
from rollback_provider.core.model import ComponentSpec
from tests.contract.harness import Harness
from tests.contract.resource_suite import ResourceSuite
from tests.parts.repository import git, make_repository

PROGRAM = Path(__file__).parents[1] / "parts/ansible-playbook"
SERVICES = ("web", "worker", "admin")


class AnsibleHarness:
    """Three services, each deployed by a playbook to a file."""

    secrets = ("vault-5519",)
    part = "deployed/web"

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "hosts").mkdir(parents=True)
        inventories = {f"inventories/{name}": str(root / "hosts" / name) for name in SERVICES}
        versions = {
            f"v{number}": {**inventories, **{f"{name}.yml": f"content: {name} {number}\n" for name in SERVICES}}
            for number in (1, 2, 3)
        }
        self.commits = make_repository(root / "repository", versions)
        self.spec = ComponentSpec(
            kind="ansible",
            name="services",
            connection="ansible",
            options={
                "repository": str(root / "repository"),
                "program": str(PROGRAM),
                "playbooks": {
                    f"deployed/{name}": {"playbook": f"{name}.yml", "inventory": f"inventories/{name}"}
                    for name in SERVICES
                },
            },
        )
        for name in SERVICES:
            self.deploy(name, 1, "blue")

    def deploy(self, name: str, number: int, color: str) -> None:
        """Does what a run of the playbook does, and tags it."""
        (self.root / "hosts" / name).write_text(f"{name} {number} {color}\n")
        message = json.dumps({"color": color})
        git(self.root / "repository", "tag", "-f", "-a", "-m", message, f"deployed/{name}", f"v{number}")

    def resolve(self, connection_id: str) -> Connection:
        """What the environment of a run holds."""
        return Connection(id=connection_id, type="ansible", extra={"environment": {"SHOP_KEY": "vault-5519"}})

    def migrate(self) -> None:
        """One service gets another commit, one other variables as well."""
        self.deploy("web", 2, "blue")
        self.deploy("worker", 2, "green")

    def migrate_again(self) -> None:
        """One goes further."""
        self.deploy("web", 3, "green")

    def application_write(self) -> None:
        """Another service is deployed."""
        self.deploy("admin", 3, "green")

    def drift(self) -> None:
        """Somebody deploys what the migration has deployed."""
        self.deploy("web", 3, "red")

    def drifted(self) -> bool:
        """It is there."""
        return "red" in (self.root / "hosts/web").read_text()

    def state(self) -> object:
        """What is on the hosts, and what the tags say."""
        form = "--format=%(refname:short) %(*objectname) %(contents)"
        tags = git(self.root / "repository", "for-each-ref", form, "refs/tags/deployed", "refs/tags/rollback-provider")
        for number, commit in self.commits.items():
            tags = tags.replace(commit, number)
        return tags, [path.read_text() for path in sorted((self.root / "hosts").iterdir())]

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """The repository is not mounted."""
        away = (self.root / "repository").rename(self.root / "away")
        yield
        away.rename(self.root / "repository")

    wrong_credentials = unreachable
    """The recorded command line asks for none."""


class TestAnsibleRecorded(ResourceSuite):
    """The contract, kept by kind ``ansible`` with a recorded command line."""

    stride = 7

    @pytest.fixture
    def make_harness(self, tmp_path: Path) -> Iterator[Callable[[], Harness]]:
        """Makes repositories and hosts."""
        numbers = count(1)
        yield lambda: AnsibleHarness(tmp_path / f"services-{next(numbers)}")
        shutil.rmtree(tmp_path)
