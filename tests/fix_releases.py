"""An application's repository and its releases, once a session; a test gets copies."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.parts.repository import git, make_repository


@pytest.fixture(scope="session")
def releases() -> Iterator[Path]:
    """A folder with ``repository`` and ``releases/v1`` to ``v3``, made by ``git archive``."""
    with TemporaryDirectory(prefix="rollback-releases-") as name:
        folder = Path(name)
        versions = {
            f"v{number}": {
                "run": f"#!/bin/sh\necho {number}\n",
                f"lib/part{number}.txt": "part",
                "version": str(number),
            }
            for number in (1, 2, 3)
        }
        make_repository(folder / "repository", versions)
        for tag in versions:
            place = folder / "releases" / tag
            place.mkdir(parents=True)
            archive = folder / f"{tag}.tar"
            git(folder / "repository", "archive", f"--output={archive}", tag)
            shutil.unpack_archive(archive, place, filter="tar")
        yield folder


def copy_releases(releases: Path, root: Path) -> Path:
    """A place of a test's own, with a repository and a folder of releases."""
    shutil.copytree(releases / "repository", root / "repository")
    shutil.copytree(releases / "releases", root / "releases")
    return root
