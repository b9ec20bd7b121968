"""Runs playbooks of a commit, and keeps account of what is deployed in tags."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from rollback_provider.clients.command import Completed, Program
from rollback_provider.clients.git import Git
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import (
    ComponentUnavailableError,
    PermissionDeniedError,
    StepFailedError,
    UnsupportedError,
)
from rollback_provider.resources import MovedError

_RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
_CHECK_SECONDS = 600.0
_UNREACHABLE = 4
"""Exit code for hosts that cannot be reached."""


@dataclass(frozen=True)
class Deployed:
    """What a tag says.

    :param tag_object: the tag itself, for comparing and swapping
    :param variables: extra variables the playbook was run with
    """

    tag_object: str
    commit: str
    variables: Mapping[str, Any]


class Tags:
    """Tags of a repository that say what is deployed: a commit, and extra variables as JSON in the message of an annotated tag."""

    def __init__(self, component: str, repository: Path, wait: Callable[[float], None]) -> None:
        self._component = component
        self._git = Git(component, repository, wait)

    def read(self, tag: str) -> Deployed | None:
        """None where there is no such tag. Raises UnsupportedError where its message is something else."""
        commit = self._git.commit(f"refs/tags/{tag}")
        if commit is None:
            return None
        form = "--format=%(objectname)%00%(objecttype)%00%(contents)"
        found, sort, message = self._git.run("for-each-ref", form, f"refs/tags/{tag}").split("\0", 2)
        try:
            variables = json.loads(message) if sort == "tag" and message.strip() else {}
        except ValueError:
            variables = None
        if not isinstance(variables, dict):
            raise UnsupportedError(
                f"The message of tag {tag} is no JSON object of extra variables",
                component=self._component,
                next_step=f'Tag what is deployed with: git tag -f -a -m \'{{"version": "1"}}\' {tag} COMMIT',
            )
        return Deployed(found, commit, variables)

    def move(self, tag: str, before: Deployed, commit: str, variables: Mapping[str, Any]) -> None:
        """Makes a tag say something else. Raises MovedError where it is not any more what it was."""
        beside = f"rollback-provider/{uuid4().hex}"
        author = ["-c", "user.name=rollback-provider", "-c", "user.email=rollback-provider@localhost"]
        self._git.run(*author, "tag", "-a", "--no-sign", "-m", json.dumps(variables, sort_keys=True), beside, commit)
        try:
            self._git.run("update-ref", f"refs/tags/{tag}", f"refs/tags/{beside}", before.tag_object)
        except StepFailedError as error:
            raise MovedError(f"tag {tag} has been moved") from error
        finally:
            self._git.run("update-ref", "-d", f"refs/tags/{beside}")


@dataclass(frozen=True)
class Play:
    """One playbook and its inventory.

    :param connection: its password opens the vault; its extra ``extra_vars`` and ``environment`` hold secrets
    :param timeout: seconds that a run may take
    """

    component: str
    program: str
    repository: Path
    playbook: str
    inventory: str
    connection: Connection | None
    timeout: float
    wait: Callable[[float], None] = field(repr=False)

    def check(self, commit: str, variables: Mapping[str, Any]) -> tuple[int, str]:
        """How many tasks a run of this commit would change something with, and what, as the program shows it. Changes nothing."""
        completed = self._run(commit, variables, "--check", "--diff", timeout=_CHECK_SECONDS)
        return _changed(completed), completed.output.strip()

    def run(self, commit: str, variables: Mapping[str, Any]) -> int:
        """Runs it; gives how many tasks have changed something."""
        return _changed(self._run(commit, variables, timeout=self.timeout))

    def _run(self, commit: str, variables: Mapping[str, Any], *options: str, timeout: float) -> Completed:
        with self._surroundings(commit, variables) as (tree, arguments, environment):
            for name in (self.playbook, self.inventory):
                if not (tree / name).exists():
                    raise UnsupportedError(f"Commit {commit} has no {name}", component=self.component)
            program = Program(
                self.component,
                self.program,
                cwd=tree,
                environment=environment,
                secrets=self._secrets(),
                install="Install ansible-core, or name its ansible-playbook under `program`",
                kept=4 * 1024 * 1024,
            )
            completed = program.run(
                f"--inventory={self.inventory}",
                *arguments,
                *options,
                self.playbook,
                timeout=timeout,
                wait=self.wait,
                accept=range(256),
            )
        return self._checked(completed)

    @contextmanager
    def _surroundings(
        self, commit: str, variables: Mapping[str, Any]
    ) -> Iterator[tuple[Path, Sequence[str], Mapping[str, str]]]:
        """An export of the commit, and what a run of it is given; secrets are in files that only this user reads."""
        extra = self.connection.extra if self.connection else {}
        with TemporaryDirectory(prefix="rollback-ansible-") as name:
            folder = Path(name)
            (folder / "tree").mkdir()
            Git(self.component, self.repository, self.wait).export(commit, folder / "tree")
            arguments = []
            for file, values in (("variables", variables), ("secrets", extra.get("extra_vars"))):
                if values:
                    (folder / f"{file}.json").write_text(json.dumps(values))
                    arguments.append(f"--extra-vars=@{folder / file}.json")
            if self.connection and self.connection.password:
                (folder / "vault").write_text(self.connection.password)
                (folder / "vault").chmod(0o600)
                arguments.append(f"--vault-password-file={folder / 'vault'}")
            environment = {
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_STDOUT_CALLBACK": "default",
                "ANSIBLE_RETRY_FILES_ENABLED": "0",
            }
            yield folder / "tree", arguments, {**environment, **extra.get("environment", {})}

    def _secrets(self) -> list[str]:
        if self.connection is None:
            return []
        extra = self.connection.extra
        values = [
            *extra.get("extra_vars", {}).values(),
            *extra.get("environment", {}).values(),
            self.connection.password,
        ]
        return [value for value in values if isinstance(value, str) and len(value) > 3]

    def _checked(self, completed: Completed) -> Completed:
        if completed.code == 0:
            return completed
        said = _said(completed)
        if "Permission denied" in said or "Missing sudo password" in said or "Authentication" in said:
            raise PermissionDeniedError(
                f"{self.playbook}: {said}",
                component=self.component,
                next_step="Give the connection what hosts and vault ask for",
            )
        if completed.code == _UNREACHABLE:
            raise ComponentUnavailableError(f"{self.playbook}: {said}", component=self.component)
        raise StepFailedError(f"{self.playbook}: {said}", component=self.component)


def _changed(completed: Completed) -> int:
    return sum(int(changed) for _, changed, _, _ in _RECAP.findall(completed.output))


def _said(completed: Completed) -> str:
    """The line that says what has failed."""
    lines = [*completed.output.splitlines(), *completed.errors.splitlines()]
    fatal = [line for line in lines if line.startswith(("fatal:", "ERROR!", "failed:"))]
    return " ".join((fatal or [line for line in lines if line.strip()][-3:] or ["it said nothing"])[0:2])[:400]
