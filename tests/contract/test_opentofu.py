"""Stacks of OpenTofu keep the contract."""

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
from tests.fix_tofu import ENVIRONMENT, TOFU, TOKEN, apply_version, copy_stacks


class OpentofuHarness:
    """Three stacks; one of them has never been applied."""

    secrets = (TOKEN,)

    def __init__(self, stacks: Path, root: Path) -> None:
        self.root = copy_stacks(stacks, root)
        self.part = str(root / "web")
        self.spec = ComponentSpec(
            kind="opentofu",
            name="infra",
            connection="infra",
            options={
                "directories": [str(root / name) for name in ("web", "worker", "admin")],
                "program": str(TOFU),
                "lock_seconds": 0,
            },
        )

    def resolve(self, connection_id: str) -> Connection:
        """Values of variables."""
        return Connection(id=connection_id, type="opentofu", extra={"environment": ENVIRONMENT})

    def migrate(self) -> None:
        """Resources are changed, replaced, made and destroyed in two stacks."""
        apply_version(self.root / "web", "v2")
        apply_version(self.root / "worker", "v2")

    def migrate_again(self) -> None:
        """One stack goes further."""
        apply_version(self.root / "web", "v3")

    def application_write(self) -> None:
        """Another team applies its stack for the first time."""
        apply_version(self.root / "admin", "v1")

    def drift(self) -> None:
        """Somebody applies more to a stack of the migration."""
        apply_version(self.root / "web", "v3")

    def drifted(self) -> bool:
        """It is there."""
        return "v3" in str(self.state()["web"])

    def state(self) -> dict[str, object]:
        """What each state holds; ids are given anew."""
        found: dict[str, object] = {}
        for path in sorted((self.root / "state").glob("*.tfstate")):
            state = json.loads(path.read_text())
            found[path.stem] = (
                state["outputs"],
                [
                    (each["name"], instance.get("index_key"), instance["attributes"]["input"])
                    for each in state["resources"]
                    for instance in each["instances"]
                ],
            )
        return found

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """A working directory is not mounted."""
        away = (self.root / "web").rename(self.root / "away")
        yield
        away.rename(self.root / "web")

    wrong_credentials = unreachable
    """A state on this machine knows no credentials."""


class TestOpentofu(ResourceSuite):
    """The contract, kept by kind ``opentofu``."""

    stride = 23

    @pytest.fixture
    def make_harness(self, stacks: Path, tmp_path: Path) -> Iterator[Callable[[], Harness]]:
        """Makes working directories."""
        numbers = count(1)
        yield lambda: OpentofuHarness(stacks, tmp_path / f"infra-{next(numbers)}")
        shutil.rmtree(tmp_path)
