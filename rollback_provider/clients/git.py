"""Reads git repositories through git's own program, and never touches what is checked out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rollback_provider.clients.command import Program
from rollback_provider.core.errors import ComponentUnavailableError, UnsupportedError

_LIMIT = 300.0
"""Seconds that one command may take."""
_SURROUNDINGS = {
    "GIT_DIR": None,
    "GIT_WORK_TREE": None,
    "GIT_INDEX_FILE": None,
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
"""A hook that started this process must not lead elsewhere; nothing may ask, or refresh somebody's index."""


class Git:
    """One repository, bare or with a work tree.

    :param component: the component's name, for errors
    :param repository: its directory, or one below it
    :param wait: is called while git runs; what it raises ends git
    """

    def __init__(self, component: str, repository: Path, wait: Callable[[float], None] = time.sleep) -> None:
        self._component = component
        self._repository = repository
        self._wait = wait
        self._git = Program(component, "git", environment=_SURROUNDINGS, install="Install git")

    def commit(self, revision: str) -> str | None:
        """The id of the commit that a name means; None where it means none."""
        if not self._repository.is_dir():
            raise ComponentUnavailableError(f"There is no directory {self._repository}", component=self._component)
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        completed = self._git.run("-C", str(self._repository), *arguments, **self._limits, accept=(0, 1, 128))
        if completed.code == 128:
            raise ComponentUnavailableError(
                f"{self._repository}: {completed.errors.strip()}",
                component=self._component,
                next_step="Name a git repository that the user who runs the steps may read",
            )
        return completed.output.strip() or None

    def place(self) -> tuple[Path, str]:
        """The top of the work tree, and the directory's own path below it."""
        top, _, prefix = self.run("rev-parse", "--show-toplevel", "--show-prefix").partition("\n")
        return Path(top), prefix.strip()

    def export(self, commit: str, directory: Path) -> None:
        """Writes the files of a commit into a directory that exists. Raises UnsupportedError where the commit is gone."""
        if self.commit(commit) is None:
            raise UnsupportedError(
                f"Commit {commit} is not in {self._repository}",
                component=self._component,
                next_step="Fetch it into the repository, then try again",
            )
        with TemporaryDirectory(prefix="rollback-") as folder:
            archive = f"{folder}/commit.tar"
            self.run("archive", "--format=tar", f"--output={archive}", commit)
            tar = Program(self._component, "tar", install="Install tar")
            tar.run("--no-same-owner", "-xf", archive, "-C", str(directory), **self._limits)

    def run(self, *arguments: str) -> str:
        """Runs a command of git in the repository and gives its output. Raises StepFailedError."""
        return self._git.run("-C", str(self._repository), *arguments, **self._limits).output

    @property
    def _limits(self) -> dict[str, Any]:
        return {"timeout": _LIMIT, "wait": self._wait}
