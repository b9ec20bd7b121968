"""``rollbackctl`` in this process, with a store in files and systems in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rollback_provider.cli import main
from rollback_provider.components.memory import State, read_system, write_system
from rollback_provider.core import registry

BEFORE: State = {"orders": {"1": {"total": "10"}, "2": {"total": "20"}}, "items": {"1": {"sku": "a"}}}


@dataclass(frozen=True)
class Result:
    """What a command has printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


@dataclass
class Ctl:
    """The command line, and a system that is migrated."""

    capture: Callable[[], Any]
    directory: Path
    system: str
    store: str

    def __call__(self, *words: str, store: bool = True) -> Result:
        """Runs a command."""
        self.capture()
        code = main([*words, "--store", self.store] if store else words)
        captured = self.capture()
        return Result(code, captured.out, captured.err)

    def specification(self, kind: str = "memory") -> str:
        """Path of a spec.yaml."""
        path = self.directory / f"{kind}.yaml"
        path.write_text(f"components:\n  - {{kind: {kind}, name: shop, system: {self.system}}}\n")
        return str(path)

    def snapshot(self, kind: str = "memory") -> str:
        """Takes a snapshot; its id."""
        taken = self("snapshot", "--migration", "release 7", "--components", self.specification(kind), "--json")
        assert taken.code == 0, taken.err
        return str(taken.json["snapshot_id"])

    def migrate(self) -> None:
        """Changes rows of two scopes."""
        state = read_system(self.system)
        for rows in state.values():
            for row in rows.values():
                row["migrated"] = "yes"
        write_system(self.system, state)

    def generated(self, kind: str = "memory", options: Sequence[str] = ()) -> str:
        """Snapshot, migration, checkpoint, plan; the rollback's id."""
        snapshot_id = self.snapshot(kind)
        self.migrate()
        assert self("checkpoint", snapshot_id, "--json").code == 0
        made = self("generate", snapshot_id, "--json", *options)
        assert made.code == 0, made.err
        return str(made.json["rollback_id"])

    def is_back(self) -> bool:
        """Whether the system is as it was."""
        return read_system(self.system) == BEFORE


@pytest.fixture
def ctl(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    make_system: Callable[[State], str],
    monkeypatch: pytest.MonkeyPatch,
) -> Ctl:
    """The command line with a store of its own, a system, and kinds that fail."""
    monkeypatch.delenv("ROLLBACK_STORE", raising=False)
    for kind in ("failing", "irreversible", "sql", "signalling", "deaf"):
        monkeypatch.setitem(registry.BUILT_IN, kind, f"tests.cli.plugins:{kind.capitalize()}Component")
    return Ctl(capsys.readouterr, tmp_path, make_system(BEFORE), (tmp_path / "store").as_uri())
