"""Directory trees keep the contract."""

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


class FilesHarness:
    """The configuration of a service."""

    secrets = ()
    part = "service.toml"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spec = ComponentSpec(
            kind="files", name="settings", options={"root": str(root), "exclude": ["*.pid", "secrets/*"]}
        )
        for name, text in {
            "service.toml": "workers = 4\n",
            "limits.toml": "rate = 100\n",
            "tenants/ada.toml": "plan = 'free'\n",
            "tenants/old.toml": "plan = 'gone'\n",
            "secrets/token": "hunter2",
            "service.pid": "1",
        }.items():
            self._put(name, text)
        (root / "current.toml").symlink_to("service.toml")
        (root / "limits.toml").chmod(0o640)

    def _put(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def resolve(self, connection_id: str) -> Connection:
        """There is none."""
        raise AssertionError(connection_id)

    def migrate(self) -> None:
        """Content, modes, links, files and directories change, come and go; a file becomes a directory."""
        self._put("service.toml", "workers = 8\nengine = 'new'\n")
        (self.root / "limits.toml").chmod(0o600)
        (self.root / "current.toml").unlink()
        (self.root / "current.toml").symlink_to("engine/main.toml")
        self._put("engine/main.toml", "engine = 'new'\n")
        (self.root / "tenants/old.toml").unlink()
        self._put("tenants/old.toml/first.toml", "split = true\n")

    def migrate_again(self) -> None:
        """Some of it again, and more."""
        self._put("service.toml", "workers = 16\n")
        self._put("engine/second.toml", "engine = 'newer'\n")
        (self.root / "engine").chmod(0o700)

    def application_write(self) -> None:
        """Tenants come and change."""
        self._put("tenants/ada.toml", "plan = 'paid'\n")
        self._put("tenants/grace.toml", "plan = 'free'\n")
        self._put("service.pid", "2")

    def drift(self) -> None:
        """Somebody else edits what the migration has written."""
        self._put("service.toml", "workers = 9\nengine = 'new'\n")

    def drifted(self) -> bool:
        """It is there."""
        return "workers = 9" in (self.root / "service.toml").read_text()

    def state(self) -> object:
        """Every path with its mode and content."""
        return {
            str(path.relative_to(self.root)): str(path.readlink())
            if path.is_symlink()
            else (path.stat().st_mode, path.read_text() if path.is_file() else None)
            for path in self.root.rglob("*")
        }

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """The tree is not mounted."""
        away = self.root.with_name(f"{self.root.name}-away")
        self.root.rename(away)
        yield
        away.rename(self.root)

    wrong_credentials = unreachable
    """Files know no credentials."""


class TestFiles(ResourceSuite):
    """The contract, kept by kind ``files``."""

    @pytest.fixture
    def make_harness(self, tmp_path: Path) -> Iterator[Callable[[], Harness]]:
        """Makes trees."""
        numbers = count(1)
        yield lambda: FilesHarness(tmp_path / f"tree-{next(numbers)}")
        shutil.rmtree(tmp_path)
