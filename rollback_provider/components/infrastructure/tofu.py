"""Runs OpenTofu or Terraform: in somebody's working directory for reading, in a directory of its own for all else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rollback_provider.clients.command import Completed, Program
from rollback_provider.clients.git import Git
from rollback_provider.core.base import Json
from rollback_provider.core.errors import (
    BusyError,
    ComponentUnavailableError,
    PermissionDeniedError,
    RollbackError,
    StepFailedError,
    UnsupportedError,
)
from rollback_provider.resources import MovedError

KEPT = 256 * 1024 * 1024
"""Bytes of a state or plan that are read."""
_QUICK = 300.0
"""Seconds that commands may take which change nothing."""
_DRAWN = re.compile(r"\x1b\[[\d;]*m|[│╷╵]")
"""Colors and frames around errors."""
_DIFFERS = 2
"""Exit code of a plan that has something to do."""
_ERRORS: tuple[tuple[str, type[RollbackError], str], ...] = (
    ("Error acquiring the state lock", BusyError, "Try again when the one who holds the lock is done"),
    (
        "Backend initialization required|plugins are not installed|Module not installed|Backend configuration changed",
        UnsupportedError,
        "Run `init` in the working directory",
    ),
    (
        "AccessDenied|status code: 40[13]|permission denied|authentication failed",
        PermissionDeniedError,
        "Give the credentials of the backend and of the providers the rights that an apply needs",
    ),
    (
        "connection refused|no such host|Failed to load state|Error loading state|i/o timeout",
        ComponentUnavailableError,
        "",
    ),
)


@dataclass(frozen=True)
class Stack:
    """What the state of a working directory holds.

    :param lineage: names the state itself, whatever is in it
    :param serial: is one more after each change
    :param resources: addresses of what is managed
    :param outputs: those that are not sensitive
    """

    lineage: str
    serial: int
    resources: tuple[str, ...]
    outputs: Mapping[str, Any]

    @classmethod
    def from_json(cls, text: str) -> Stack | None:
        """Out of a state as `state pull` gives it; None where there is none, or it is empty."""
        state = json.loads(text) if text.strip() else {"resources": [], "outputs": {}}
        if not state["resources"] and not state["outputs"]:
            return None
        outputs = {name: each["value"] for name, each in state["outputs"].items() if not each.get("sensitive")}
        return cls(state["lineage"], state["serial"], tuple(sorted(_addresses(state["resources"]))), outputs)


@dataclass(frozen=True)
class Saved:
    """A plan that is saved, and goes when its directory goes.

    :param path: the file, which may hold secrets
    :param directory: where it was made
    :param changes: actions by address, and a digest of what becomes of it as far as that is known
    """

    path: Path
    directory: Path
    changes: Mapping[str, Json]

    def beyond(self, approved: Mapping[str, Json]) -> list[str]:
        """Addresses of which it does what was not approved.

        Where an approved plan was half applied, the next one does less, and makes anew what was left half made: that is fine.
        """
        return [
            address
            for address, change in self.changes.items()
            if address not in approved
            or not set(change["actions"]) <= {*approved[address]["actions"], *(["delete"] if change["tainted"] else [])}
            or change["after"] not in (approved[address]["after"], None)
        ]

    @property
    def lossy(self) -> list[str]:
        """Addresses of what is destroyed, or destroyed and made anew."""
        return [address for address, change in self.changes.items() if "delete" in change["actions"]]


class Tofu:
    """One working directory: a root module in a git work tree, initialized with a backend.

    :param environment: variables for the program and the backend; secrets
    """

    def __init__(
        self,
        component: str,
        program: str,
        directory: Path,
        *,
        environment: Mapping[str, str],
        var_files: Sequence[str],
        lock_seconds: float,
        timeout: float,
        wait: Callable[[float], None],
    ) -> None:
        self.directory = directory
        self._component = component
        self._program = program
        self._environment = environment
        self._arguments = [f"-var-file={path}" for path in var_files]
        self._lock = f"-lock-timeout={lock_seconds:g}s"
        self._timeout = timeout
        self._wait = wait

    def stack(self) -> Stack | None:
        """Reads the state. Raises UnsupportedError where the directory is not initialized with a backend."""
        self._backend(self.directory / ".terraform")
        return Stack.from_json(self._run(self.directory, "state", "pull").output)

    @contextmanager
    def plan(self, commit: str, *, destroy: bool = False, lock: bool = True) -> Iterator[Saved]:
        """A plan that leads to the configuration of a commit, made from an export of it with the backend of the working directory.

        :param destroy: that leads to nothing instead
        """
        backend = self._backend(self.directory / ".terraform")
        top, prefix = Git(self._component, self.directory, self._wait).place()
        with TemporaryDirectory(prefix="rollback-tofu-") as name:
            folder = Path(name)
            (folder / "tree").mkdir()
            Git(self._component, top, self._wait).export(commit, folder / "tree")
            directory = folder / "tree" / prefix
            if not directory.is_dir():
                raise UnsupportedError(f"Commit {commit} has no {prefix}", component=self._component)
            (folder / "backend.hcl").write_text(_settings(backend, self.directory))
            data = {"TF_DATA_DIR": str(folder / "data")}
            self._run(
                directory, "init", "-input=false", "-no-color", f"-backend-config={folder / 'backend.hcl'}", **data
            )
            if self._backend(folder / "data")["type"] != backend["type"]:
                raise UnsupportedError(
                    f"Commit {commit} keeps its state elsewhere than {self.directory} does now: another backend",
                    component=self._component,
                    next_step="Move the state back by hand",
                )
            path = folder / "rollback.tfplan"
            arguments = ["-detailed-exitcode", "-input=false", "-no-color", self._lock if lock else "-lock=false"]
            arguments += [f"-out={path}", *(["-destroy"] if destroy else []), *self._arguments]
            if self._run(directory, "plan", *arguments, **data).code == _DIFFERS:
                changes = _changes(json.loads(self._run(directory, "show", "-json", str(path), **data).output))
            else:
                changes = {}
            yield Saved(path, directory, changes)

    def show(self, saved: Saved) -> str:
        """What a plan does, as the program shows it: without secrets."""
        data = {"TF_DATA_DIR": str(saved.path.parent / "data")}
        return self._run(saved.directory, "show", "-no-color", str(saved.path), **data).output.strip()

    def apply(self, saved: Saved) -> None:
        """Applies a saved plan. Raises MovedError where the state has changed since it was made.

        It is not interrupted by a cancellation: a provider that is ended half-way leaves resources that no state knows.
        """
        arguments = ["-input=false", "-no-color", self._lock, str(saved.path)]
        data = {"TF_DATA_DIR": str(saved.path.parent / "data")}
        self._check(self._tool(saved.directory, data).run("apply", *arguments, timeout=self._timeout, accept=(0, 1)))

    def _backend(self, data: Path) -> dict[str, Any]:
        """Type and settings of the backend that a data directory was initialized with; they may hold secrets."""
        try:
            found: dict[str, Any] | None = json.loads((data / "terraform.tfstate").read_text()).get("backend")
        except FileNotFoundError:
            found = None
        if not found:
            raise UnsupportedError(
                f"{self.directory} is not initialized with a backend",
                component=self._component,
                next_step="Configure a backend, so that the state is not a file beside the configuration, and run `init`",
            )
        return found

    def _run(self, directory: Path, *arguments: str, **environment: str) -> Completed:
        program = self._tool(directory, environment)
        return self._check(program.run(*arguments, timeout=_QUICK, wait=self._wait, accept=(0, 1, _DIFFERS)))

    def _tool(self, directory: Path, environment: Mapping[str, str]) -> Program:
        workspace = self.directory / ".terraform/environment"
        chosen = {"TF_WORKSPACE": workspace.read_text().strip()} if workspace.is_file() else {}
        return Program(
            self._component,
            self._program,
            cwd=directory,
            environment={"TF_DATA_DIR": None, "TF_IN_AUTOMATION": "1", **chosen, **self._environment, **environment},
            secrets=[value for value in self._environment.values() if len(value) > 3],
            install="Install OpenTofu or Terraform, or name it under `program`",
            kept=KEPT,
        )

    def _check(self, completed: Completed) -> Completed:
        if completed.code != 1:
            return completed
        text = " ".join(_DRAWN.sub(" ", completed.errors).split()) or "it said nothing"
        said = text[max(0, text.find("Error:")) :][:300]
        if "Saved plan is stale" in text:
            raise MovedError(f"{self.directory}: its state has been changed")
        for pattern, error, next_step in _ERRORS:
            if re.search(pattern, text, re.IGNORECASE):
                raise error(f"{self.directory}: {said}", component=self._component, next_step=next_step)
        raise StepFailedError(f"{self.directory}: {said}", component=self._component)


def _addresses(resources: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for resource in resources:
        if resource["mode"] == "managed":
            inside = f"{resource['module']}." if "module" in resource else ""
            for instance in resource["instances"]:
                key = f"[{json.dumps(instance['index_key'])}]" if "index_key" in instance else ""
                yield f"{inside}{resource['type']}.{resource['name']}{key}"


def _settings(backend: Mapping[str, Any], directory: Path) -> str:
    """Settings of a backend as a file for `init`; a state on this machine keeps its place."""
    settings: dict[str, Any] = {
        name: value for name, value in backend["config"].items() if isinstance(value, str | int | bool)
    }
    if backend["type"] == "local":
        settings["path"] = str(directory / settings.get("path", "terraform.tfstate"))
        settings["workspace_dir"] = str(directory / settings.get("workspace_dir", "terraform.tfstate.d"))
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    return "\n".join(line.replace("${", "$${").replace("%{", "%%{") for line in lines)


def _changes(document: Mapping[str, Any]) -> dict[str, Json]:
    changes = {}
    outputs = [
        {"address": f"output.{name}", "change": each} for name, each in document.get("output_changes", {}).items()
    ]
    for each in [*document.get("resource_changes", ()), *outputs]:
        change = each["change"]
        if change["actions"] not in (["no-op"], ["read"]):
            shown = _hidden(change.get("after"), change.get("after_sensitive"))
            changes[each["address"]] = {
                "actions": change["actions"],
                "after": None if shown is None else sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest(),
                "tainted": each.get("action_reason") == "replace_because_tainted",
            }
    return changes


def _hidden(value: Any, sensitive: Any) -> Any:
    """A value without what is sensitive in it."""
    if sensitive is True:
        return "***"
    if isinstance(value, dict) and isinstance(sensitive, dict):
        return {name: _hidden(each, sensitive.get(name)) for name, each in value.items()}
    if isinstance(value, list) and isinstance(sensitive, list) and len(value) == len(sensitive):
        return [_hidden(*each) for each in zip(value, sensitive, strict=True)]
    return value
