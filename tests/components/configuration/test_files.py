"""Directory trees: what a worker that dies in the middle leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rollback_provider.components.configuration.files import FilesComponent
from rollback_provider.core.model import ComponentSpec
from rollback_provider.resources import Change
from tests.contract.faults import Fuse, FusedProgress, KilledError


class Dying:
    """A store whose reader dies."""

    def get_blob(self, digest: str) -> bytes:
        """Dies."""
        raise KilledError


def component(root: Path) -> FilesComponent:
    """The tree."""
    spec = ComponentSpec(kind="files", name="settings", options={"root": str(root)})
    return FilesComponent(spec, lambda _: NotImplemented)


def test_a_link_is_there_until_the_file_that_takes_its_place(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("new.toml")
    change = Change("current", {"link": "new.toml"}, {"content": "0" * 64, "mode": "0644"})
    with pytest.raises(KilledError):
        component(tmp_path).write([change], Dying(), FusedProgress(Fuse()))
    assert [path.name for path in tmp_path.iterdir()] == ["current"]
    assert (tmp_path / "current").readlink() == Path("new.toml")


def test_a_directory_appears_with_its_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(self: Path, mode: int) -> None:
        raise KilledError

    monkeypatch.setattr(Path, "chmod", die)
    with pytest.raises(KilledError):
        component(tmp_path).write([Change("private/", None, {"mode": "0700"})], Dying(), FusedProgress(Fuse()))
    assert not (tmp_path / "private").exists()
    monkeypatch.undo()
    previous = os.umask(0o077)
    try:
        component(tmp_path).write([Change("open/", None, {"mode": "0775"})], Dying(), FusedProgress(Fuse()))
    finally:
        os.umask(previous)
    assert (tmp_path / "open").stat().st_mode & 0o7777 == 0o775
