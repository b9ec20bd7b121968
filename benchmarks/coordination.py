"""How long a rollback of many components takes, against the longest path through them and against one after the other."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from rollback_provider.components.memory import MemoryComponent, create_system, read_system, write_row
from rollback_provider.core import registry
from rollback_provider.core.capturer import take_snapshot
from rollback_provider.core.component import Blobs, Connection, Notes, Progress
from rollback_provider.core.executor import execute
from rollback_provider.core.model import ComponentSpec, Step, StepOutcome
from rollback_provider.core.planner import generate
from rollback_provider.hooks.progress import LogProgress
from rollback_provider.store import open_store

INDEPENDENT = 10
CHAIN = 10
SECONDS = 1.0
"""What each component takes, whatever the machine."""


class SlowComponent(MemoryComponent):
    """Takes its time."""

    kind: ClassVar[str] = "slow"

    def apply(self, step: Step, blobs: Blobs, notes: Notes, progress: Progress) -> StepOutcome:
        """Waits, then does it."""
        time.sleep(SECONDS)
        return super().apply(step, blobs, notes, progress)


@dataclass(frozen=True)
class Coordination:
    """Seconds of one execution.

    :param longest_path: of the components that wait for each other
    :param one_by_one: of all components
    """

    components: int
    seconds: float
    longest_path: float
    one_by_one: float


def coordinate() -> Coordination:
    """Rolls back components of which some are independent and the others wait for each other."""
    registry.BUILT_IN["slow"] = f"{__name__}:{SlowComponent.__name__}"
    names = [f"independent-{number}" for number in range(INDEPENDENT)] + [f"chain-{number}" for number in range(CHAIN)]
    specs = [
        ComponentSpec(kind="slow", name=name, after=_before(name), options={"system": f"benchmark-{name}"})
        for name in names
    ]
    for name in names:
        create_system(f"benchmark-{name}", {"rows": {"1": {"value": "before"}}})
    store, progress = open_store("memory://coordination"), LogProgress(_Quiet())
    snapshot = take_snapshot(store, "coordination", specs, _no_connections, progress, actor="benchmark")
    for name in names:
        write_row(f"benchmark-{name}", "rows", "1", {"value": "after"})
    plan = generate(store, snapshot.id, _no_connections, progress, actor="benchmark")
    started = time.perf_counter()
    execute(store, plan.rollback_id, _no_connections, progress, actor="benchmark")
    seconds = time.perf_counter() - started
    if any(read_system(f"benchmark-{name}")["rows"]["1"]["value"] != "before" for name in names):
        raise RuntimeError("the rollback has not brought everything back")
    return Coordination(len(names), round(seconds, 3), CHAIN * SECONDS, len(names) * SECONDS)


def _before(name: str) -> tuple[str, ...]:
    kind, _, number = name.partition("-")
    return (f"chain-{int(number) - 1}",) if kind == "chain" and int(number) else ()


def _no_connections(connection_id: str) -> Connection:
    raise AssertionError(connection_id)


class _Quiet:
    def info(self, *_: object) -> None:
        """Says nothing."""
