"""Releases behind links keep the contract."""

from __future__ import annotations

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
from tests.fix_releases import copy_releases


class ReleaseHarness:
    """Three services of one application, all at v1."""

    secrets = ()

    def __init__(self, releases: Path, root: Path) -> None:
        self.root = copy_releases(releases, root)
        self.part = str(root / "web")
        self.spec = ComponentSpec(
            kind="release",
            name="shop",
            options={
                "repository": str(root / "repository"),
                "links": [str(root / name) for name in ("web", "worker", "admin")],
                "exclude": ["log/*"],
                "reload": ["touch", str(root / "reloaded")],
            },
        )
        for name in ("web", "worker", "admin"):
            self._lead(name, "v1")

    def _lead(self, name: str, release: str) -> None:
        link = self.root / name
        link.unlink(missing_ok=True)
        link.symlink_to(f"releases/{release}")

    def resolve(self, connection_id: str) -> Connection:
        """There is none."""
        raise AssertionError(connection_id)

    def migrate(self) -> None:
        """Two services go to v2."""
        self._lead("web", "v2")
        self._lead("worker", "v2")

    def migrate_again(self) -> None:
        """One goes further, one is switched off."""
        self._lead("web", "v3")
        (self.root / "worker").unlink()

    def application_write(self) -> None:
        """Another service is released, and logs are written."""
        self._lead("admin", "v3")
        log = self.root / "releases/v1/log"
        log.mkdir(exist_ok=True)
        (log / "today").write_text("a request\n")

    def drift(self) -> None:
        """Somebody releases what the migration has released."""
        self._lead("web", "v3")

    def drifted(self) -> bool:
        """It is there."""
        return (self.root / "web/version").read_text() == "3"

    def state(self) -> object:
        """What each service runs."""
        return {
            name: {str(path.relative_to(self.root / name)): path.is_file() and path.read_text() for path in files}
            for name in ("web", "worker", "admin")
            if (files := sorted((self.root / name).glob("**/*")))
        }

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """The repository is not mounted."""
        away = (self.root / "repository").rename(self.root / "away")
        yield
        away.rename(self.root / "repository")

    wrong_credentials = unreachable
    """Links know no credentials."""


class TestRelease(ResourceSuite):
    """The contract, kept by kind ``release``."""

    stride = 3

    @pytest.fixture
    def make_harness(self, releases: Path, tmp_path: Path) -> Iterator[Callable[[], Harness]]:
        """Makes machines."""
        numbers = count(1)
        yield lambda: ReleaseHarness(releases, tmp_path / f"srv-{next(numbers)}")
        shutil.rmtree(tmp_path)
