"""One trial: snapshot, migration, writer, rollback and verification of a copy, with or without a fault."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rollback_provider.core.base import Json
from rollback_provider.core.capturer import take_checkpoint, take_snapshot
from rollback_provider.core.component import Component, Connection, Progress
from rollback_provider.core.document import Record
from rollback_provider.core.errors import (
    ConfigurationError,
    ConflictError,
    DriftError,
    IntegrityError,
    NotFoundError,
    RollbackError,
    UnsupportedError,
)
from rollback_provider.core.executor import execute
from rollback_provider.core.ledger import read_ledger
from rollback_provider.core.model import ComponentSpec, Plan, Policy
from rollback_provider.core.planner import generate
from rollback_provider.core.rehearsal.copies import Copy, Writer
from rollback_provider.core.rehearsal.drills import Drill, ExecuteApart, Scene
from rollback_provider.core.rehearsal.history import check_history, expected_rows
from rollback_provider.core.rehearsal.model import Migration, StepTime, Trial, WriteOutcome, Writes
from rollback_provider.core.repository import Repository, Store, digest_of
from rollback_provider.core.verification import CheckStatus
from rollback_provider.core.verifier import verify

MOST_ATTEMPTS = 8
"""How often a rollback may be executed until it must have converged."""
WRITES = 40
"""Acknowledged writes that are waited for between the migration and its rollback."""
_FINAL = (ConfigurationError, ConflictError, DriftError, IntegrityError, NotFoundError, UnsupportedError)
_ACTOR = "rehearsal"


class TrialRun:
    """Runs one trial on a copy of its own.

    :param workspace: a store for what is sealed on the way
    :param apart: executes a rollback in a process of its own
    """

    def __init__(
        self,
        copy: Copy,
        workspace: Store,
        spec: ComponentSpec,
        migration: Migration,
        drill: Drill,
        apart: ExecuteApart,
        progress: Progress,
        *,
        policy: Policy,
        seed: int | None,
        watch: Callable[[Component], None],
    ) -> None:
        self._copy = copy
        self._store = workspace
        self._spec = spec
        self._migration = migration
        self._drill = drill
        self._apart = apart
        self._progress = progress
        self._policy = policy
        self._seed = seed
        self._watch = watch
        self._seconds: dict[str, float] = {}
        self._met: list[str] = []
        self._attempts = 0

    def run(self) -> Trial:
        """Runs it. What the product refuses or fails at is the trial's result; only what the caller got wrong is raised."""
        with self._timed("snapshot"):
            snapshot = take_snapshot(
                self._store, "rehearsal", [self._spec], self._resolve, self._progress, actor=_ACTOR, watch=self._watch
            )
        with self._writing() as writer:
            self._migrate(snapshot.id, writer)
            checkpoint = next(reversed(Repository(self._store).checkpoints(snapshot.id)), None)
            scene = Scene(self._copy, writer, self._store, self._spec.name, self._progress, self._apart)
            self._drill.migrated(scene, checkpoint.components[0] if checkpoint else None)
            if writer:
                writer.wait_for(WRITES)
            try:
                with self._timed("generate"):
                    plan = generate(
                        self._store,
                        snapshot.id,
                        self._resolve,
                        self._progress,
                        actor=_ACTOR,
                        policy=self._policy,
                        watch=self._watch,
                    )
                with self._timed("execute"):
                    record = self._execute(plan, scene)
            except RollbackError as error:
                return self._trial(CheckStatus.FAILED, scene, detail=str(error))
        try:
            with self._timed("verify"):
                record = verify(
                    self._store, plan.rollback_id, self._resolve, self._progress, actor=_ACTOR, watch=self._watch
                )
        except RollbackError as error:
            return self._trial(CheckStatus.FAILED, scene, detail=str(error))
        return self._judge(plan, record, scene)

    def _resolve(self, connection_id: str) -> Connection:
        """Whatever is asked for is the copy: nothing that runs here can name another system."""
        return self._copy.connection

    def _writing(self) -> AbstractContextManager[Writer | None]:
        return nullcontext() if self._seed is None else self._copy.writer(self._seed)

    def _migrate(self, snapshot_id: str, writer: Writer | None) -> None:
        with self._timed("migrate"), writer.paused() if writer and self._migration.quiet else nullcontext():
            self._copy.migrate(self._migration, self._store, snapshot_id, self._progress)
            if self._migration.quiet:
                with self._timed("checkpoint"):
                    take_checkpoint(
                        self._store, snapshot_id, self._resolve, self._progress, actor=_ACTOR, watch=self._watch
                    )

    def _execute(self, plan: Plan, scene: Scene) -> Record:
        """Executes until it is done; raises what no retry can mend, and the last error where it does not converge."""
        done: list[Record] = []

        def watch(component: Component) -> None:
            scene.executing = component
            self._watch(component)

        def once(store: Store, progress: Progress) -> None:
            done.append(execute(store, plan.rollback_id, self._resolve, progress, actor=_ACTOR, watch=watch))

        while True:
            self._attempts += 1
            try:
                self._drill.attempt(scene, plan, self._attempts, once)
            except RollbackError as error:
                if isinstance(error, _FINAL) or self._attempts == MOST_ATTEMPTS:
                    raise
                self._met.append(str(error))
            if done:
                return done[-1]

    def _judge(self, plan: Plan, record: Record, scene: Scene) -> Trial:
        entries = [
            entry
            for ledger in (plan.ledger, record.execution.ledger)
            for entry in read_ledger(ledger, self._store)
            if entry["component"] == self._spec.name
        ]
        writes = self._writes(scene.writer, entries)
        checks = record.execution.verification.checks
        bad = [check for check in checks if check.status not in {CheckStatus.PASSED, CheckStatus.WARNING}]
        differences = [
            f"{check.name} {check.scope}: {text}".replace(" :", ":")
            for check in bad
            for text in check.differences or (check.detail or f"expected {check.expected}, found {check.actual}",)
        ]
        if bad or writes.lost or record.execution.status != "verified":
            status, detail = CheckStatus.FAILED, f"{len(differences)} differences, {len(writes.lost)} writes lost"
        elif self._drill.name and not scene.struck:
            status, detail = CheckStatus.UNKNOWN, "The fault could not strike here, so nothing is proven"
        elif scene.writer and not writes.acknowledged:
            status, detail = CheckStatus.UNKNOWN, "The writer found nothing that it could write to"
        else:
            status, detail = CheckStatus.PASSED, ""
        return self._trial(
            status, scene, detail=detail, plan=plan, record=record, writes=writes, differences=differences,
            ledger=Counter(str(entry["action"]) for entry in entries),
        )  # fmt: skip

    def _writes(self, writer: Writer | None, entries: list[Json]) -> Writes:
        if writer is None:
            return Writes()
        made = writer.writes
        lost, listed = check_history(made, self._copy.read(expected_rows(made)), entries)
        took = sorted(write.milliseconds for write in made if write.outcome is WriteOutcome.ACKNOWLEDGED)
        running = sum(self._seconds.get(name, 0.0) for name in ("migrate", "generate", "execute"))
        return Writes(
            acknowledged=len(took),
            unknown=len(made) - len(took),
            refused=writer.refused,
            listed=listed,
            lost=tuple(lost),
            per_second=round(len(took) / running, 1) if running else 0.0,
            p95=round(took[len(took) * 95 // 100], 1) if took else 0.0,
            worst=round(took[-1], 1) if took else 0.0,
        )

    def _trial(
        self,
        status: CheckStatus,
        scene: Scene,
        *,
        detail: str,
        plan: Plan | None = None,
        record: Record | None = None,
        writes: Writes | None = None,
        differences: list[str] | None = None,
        ledger: dict[str, int] | None = None,
    ) -> Trial:
        steps = record.execution.steps if record else ()
        locks: dict[str, float] = {}
        for step in steps:
            for what, seconds in step.lock_seconds.items():
                locks[what] = max(locks.get(what, 0.0), seconds)
        return Trial(
            drill=self._drill.name,
            status=status,
            detail=detail,
            injected=scene.struck,
            attempts=self._attempts,
            met=tuple(self._met),
            seconds=self._seconds,
            steps=tuple(
                StepTime(title=step.title, seconds=round((step.finished - step.started).total_seconds(), 3))
                for step in steps
                if step.started and step.finished
            ),
            locks=locks,
            writes=writes or Writes(),
            ledger=dict(ledger or {}),
            differences=tuple(differences or ()),
            plan_digest=digest_of([[step.section, step.title, step.script] for step in plan.steps]) if plan else "",
        )

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._seconds[name] = round(time.monotonic() - started, 3)
