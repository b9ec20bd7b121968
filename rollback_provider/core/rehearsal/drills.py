"""Drills: faults by name, each injected into a rollback that is rehearsed. Afterwards a retry must converge.

A drill that could not strike proves nothing: its trial is then unknown, never passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Thread
from typing import Literal

from rollback_provider.core.base import Json
from rollback_provider.core.component import Component, Progress
from rollback_provider.core.errors import RollbackError, StoreUnavailableError
from rollback_provider.core.model import BlobRef, ComponentState, Plan
from rollback_provider.core.rehearsal.copies import Copy, Writer
from rollback_provider.core.repository import Store

ExecuteApart = Callable[[str, Copy, int], bool]
"""Executes a rollback (by id) of a copy in a process of its own, which is killed right before its n-th entry in the journal; says whether
it was killed."""

Execute = Callable[[Store, Progress], None]
"""Executes the rollback once, in this process, with this store and progress."""


@dataclass
class Scene:
    """What a drill can reach.

    :param again: executes the rollback once, in this process
    :param struck: how often the fault has struck
    :param executing: the component that executes in this process
    """

    copy: Copy
    writer: Writer | None
    store: Store
    component: str
    progress: Progress
    apart: ExecuteApart
    struck: int = 0
    executing: Component | None = None


class Drill:
    """A fault, and where it strikes. Does nothing itself: the plain rehearsal."""

    name = ""
    title = "undisturbed"

    def migrated(self, scene: Scene, checkpoint: ComponentState | None) -> None:
        """Called when the migration is done and its checkpoint sealed, before the rollback is planned."""

    def attempt(self, scene: Scene, plan: Plan, number: int, execute: Execute) -> None:
        """One attempt at executing the rollback, the first being number 1."""
        execute(scene.store, scene.progress)


class _Waiting(Drill):
    """Strikes a statement of the rollback while it waits for a lock."""

    how: Literal["kill", "cancel", "cut", "release"]

    def attempt(self, scene: Scene, plan: Plan, number: int, execute: Execute) -> None:
        """Executes once, with the fault."""
        strikes: list[Thread] = []

        def before_step() -> None:
            if scene.struck:
                return
            hold = scene.copy.faults.hold()

            def strike() -> None:
                scene.struck += hold.strike(self.how, scene.executing)

            strikes.append(Thread(target=strike, daemon=True))
            strikes[-1].start()

        try:
            execute(scene.store, StepProgress(scene.progress, plan, before_step))
        finally:
            for thread in strikes:
                thread.join()


class BackendKilled(_Waiting):
    """The server ends the rollback's session in the middle of a statement."""

    name = "backend_killed"
    title = "session ended in the middle of a statement"
    how = "kill"


class StatementTimeout(_Waiting):
    """The server cancels a statement of the rollback, as it does when a statement_timeout strikes."""

    name = "statement_timeout"
    title = "statement cancelled, as by a timeout"
    how = "cancel"


class LockHeld(_Waiting):
    """Another session holds locks on the tables when the rollback wants to begin."""

    name = "lock_held"
    title = "locks held by another session"
    how = "release"


class WorkerKilled(Drill):
    """SIGKILL of the worker's process before an entry of the journal: between steps, and between a step's commit and its entry."""

    name = "worker_killed"
    title = "worker killed with SIGKILL between steps"
    moments = (4, 6, 4)
    """Entries: the intent of the first step; what follows the first commit; what follows the next one."""

    def attempt(self, scene: Scene, plan: Plan, number: int, execute: Execute) -> None:
        """Executes once, with the fault."""
        if number > len(self.moments):
            execute(scene.store, scene.progress)
        elif scene.apart(plan.rollback_id, scene.copy, self.moments[number - 1]):
            scene.struck += 1
            raise WorkerGoneError(f"The worker was killed before entry {self.moments[number - 1]} of its attempt")


class ConnectionLost(_Waiting):
    """The network between worker and server goes away in the middle of a statement."""

    name = "connection_lost"
    title = "connection lost in the middle of a statement"
    how = "cut"


class StoreUnavailable(Drill):
    """The store answers neither reads nor writes for a while."""

    name = "store_unavailable"
    title = "store unavailable"

    def attempt(self, scene: Scene, plan: Plan, number: int, execute: Execute) -> None:
        """Executes once, with the fault."""
        store = FaultyStore(scene.store, fail_at=number + 1 if number <= 3 else None)
        try:
            execute(store, scene.progress)
        finally:
            scene.struck += store.failed


class StoreSlow(Drill):
    """Every answer of the store takes its time."""

    name = "store_slow"
    title = "store slow"

    def attempt(self, scene: Scene, plan: Plan, number: int, execute: Execute) -> None:
        """Executes once, with the fault."""
        store = FaultyStore(scene.store, delay=0.05)
        execute(store, scene.progress)
        scene.struck += store.delayed


class DiskFull(Drill):
    """The server finds no more space for its log in the middle of the rollback, crashes, and recovers."""

    name = "disk_full"
    title = "disk full under the server's log"

    def attempt(self, scene: Scene, plan: Plan, number: int, execute: Execute) -> None:
        """Executes once, with the fault."""
        with ExitStack() as stack:

            def before_step() -> None:
                if number == 1 and not scene.struck:
                    scene.struck += stack.enter_context(scene.copy.faults.fill_disk())

            execute(scene.store, StepProgress(scene.progress, plan, before_step))


class HalfApplied(Drill):
    """The migration leaves an interrupted, non-transactional statement behind, such as an invalid index."""

    name = "half_applied"
    title = "half-applied statement left behind"

    def migrated(self, scene: Scene, checkpoint: ComponentState | None) -> None:
        """Leaves it behind."""
        scene.struck += scene.copy.faults.leave_half_applied()


class ConflictingWriter(Drill):
    """Applications write to the very rows that the migration has changed, before the rollback and while it runs."""

    name = "conflicting_writer"
    title = "writer on the rows that the migration changed"

    def migrated(self, scene: Scene, checkpoint: ComponentState | None) -> None:
        """Sends the writer there."""
        rows = scene.copy.changed_rows(checkpoint, scene.store) if checkpoint else []
        if not rows or not scene.writer:
            return
        scene.writer.aim_at(rows)
        before = len(scene.writer.writes)
        scene.writer.wait_for(40)
        wanted = set(rows)
        scene.struck += sum((write.scope, write.key) in wanted for write in scene.writer.writes[before:])


DRILLS: dict[str, Drill] = {
    drill.name: drill
    for drill in (
        BackendKilled(),
        WorkerKilled(),
        LockHeld(),
        StatementTimeout(),
        ConnectionLost(),
        StoreUnavailable(),
        StoreSlow(),
        DiskFull(),
        HalfApplied(),
        ConflictingWriter(),
    )
}
"""All drills, by name."""


class WorkerGoneError(RollbackError):
    """The worker that executed the rollback is gone; what it has done is in the journal."""


class StepProgress:
    """Calls `before_step` before each step of a plan, and passes everything on."""

    def __init__(self, progress: Progress, plan: Plan, before_step: Callable[[], None]) -> None:
        self._progress = progress
        self._steps = {f"{step.component}: {step.title}" for step in plan.steps}
        self._before_step = before_step

    def update(self, what: str, *, done: float, total: float | None = None, unit: str = "rows") -> None:
        """Passes it on."""
        self._progress.update(what, done=done, total=total, unit=unit)

    def message(self, text: str) -> None:
        """Passes it on."""
        self._progress.message(text)
        if text in self._steps:
            self._before_step()


class FaultyStore:
    """A store whose writes of documents fail at a moment, or whose every answer takes its time.

    :param fail_at: number of the document at which it fails, once, without having written it
    :param delay: seconds
    """

    def __init__(self, store: Store, *, fail_at: int | None = None, delay: float = 0.0) -> None:
        self._store = store
        self._fail_at = fail_at
        self._delay = delay
        self.url = store.url
        self.created = 0
        self.failed = 0
        self.delayed = 0

    def create(self, name: str, document: Json) -> None:
        """Writes a document, or fails."""
        self.created += 1
        if self.created == self._fail_at:
            self.failed += 1
            raise StoreUnavailableError(f"{self.url} does not answer")
        self._wait()
        self._store.create(name, document)

    def read(self, name: str) -> Json:
        """Reads a document."""
        self._wait()
        return self._store.read(name)

    def names(self, prefix: str) -> Iterator[str]:
        """Lists documents."""
        self._wait()
        return self._store.names(prefix)

    def delete(self, name: str) -> None:
        """Deletes a document."""
        self._store.delete(name)

    def put_blob(self, content: bytes) -> BlobRef:
        """Writes a blob."""
        self._wait()
        return self._store.put_blob(content)

    def put_compressed(self, ref: BlobRef, data: bytes) -> None:
        """Writes a blob."""
        self._wait()
        self._store.put_compressed(ref, data)

    def get_blob(self, digest: str) -> bytes:
        """Reads a blob."""
        self._wait()
        return self._store.get_blob(digest)

    def _wait(self) -> None:
        if self._delay:
            time.sleep(self._delay)
            self.delayed += 1
