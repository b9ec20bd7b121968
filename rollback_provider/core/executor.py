"""Executes a plan: locks, checks that the plan still holds, runs its steps, and journals each.

The steps of one component run in order, and after those of the components that must be back before it; independent components run side by
side. Where one fails, those that need it are not begun, and the others go on.

Killed at any point and run again, it continues: steps that are done are passed over, the one in progress is handed its own notes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Literal, cast

from rollback_provider.core import lock
from rollback_provider.core.base import Json
from rollback_provider.core.capturer import RecordingBlobs
from rollback_provider.core.component import Component, ConnectionResolver, Progress, Undoable
from rollback_provider.core.document import Record
from rollback_provider.core.errors import (
    BusyError,
    ConfigurationError,
    DriftError,
    LockedError,
    RollbackError,
    StoreError,
)
from rollback_provider.core.journal import Journal, StepNotes
from rollback_provider.core.model import Plan, Snapshot, Step
from rollback_provider.core.record import make_record
from rollback_provider.core.registry import build, require_same_system
from rollback_provider.core.repository import Repository, Store
from rollback_provider.core.schedule import Outcome, all_side_by_side, rollback_needs, run_side_by_side


def execute(
    store: Store,
    rollback_id: str,
    connections: ConnectionResolver,
    progress: Progress,
    *,
    actor: str,
    component: str | None = None,
    watch: Callable[[Component], None] = lambda _: None,
) -> Record:
    """Runs what is left of a plan and returns the record; its status is ``executed`` once every component is back.

    :param component: of this component alone, once the rollback has begun (see `begin`). Others may be executed at the same time by other
        workers; the last one completes the rollback.

    Raises NotFoundError, ConfigurationError, LockedError, DriftError before anything is changed; BusyError, ComponentUnavailableError or
    StepFailedError on the way, after which the same call continues.
    """
    with _worker(store, rollback_id, connections, progress, actor, watch) as worker:
        if not worker.journal.executed:
            if component is None:
                worker.open()
                worker.components()
                worker.finish()
            else:
                worker.component(component)
        return make_record(store, worker.plan, worker.journal)


def begin(
    store: Store,
    rollback_id: str,
    connections: ConnectionResolver,
    progress: Progress,
    *,
    actor: str,
    watch: Callable[[Component], None] = lambda _: None,
) -> Record:
    """Begins a rollback whose components are then executed by workers of their own; see `execute`.

    Takes all components, refuses drift of any of them, and keeps what undoing takes. Does nothing where something was changed already.
    """
    with _worker(store, rollback_id, connections, progress, actor, watch) as worker:
        if not worker.journal.touched:
            worker.open()
        return make_record(store, worker.plan, worker.journal)


@contextmanager
def _worker(
    store: Store,
    rollback_id: str,
    connections: ConnectionResolver,
    progress: Progress,
    actor: str,
    watch: Callable[[Component], None],
) -> Iterator[_Worker]:
    repository = Repository(store)
    plan = repository.plan(rollback_id)
    snapshot = repository.snapshot(plan.snapshot_id)
    journal = Journal(store, rollback_id)
    if journal.abandoned:
        raise ConfigurationError(
            f"Rollback {rollback_id} was abandoned",
            state="",
            next_step=f"Generate a new one: rollbackctl generate {plan.snapshot_id}",
        )
    with ExitStack() as stack:
        components: dict[str, Component] = {}
        for state in () if journal.executed else snapshot.components:
            component = components[state.spec.name] = build(state.spec, connections)
            stack.callback(component.close)
            watch(component)
        yield _Worker(plan, snapshot, components, store, journal, progress, actor)


def abandon(store: Store, rollback_id: str, *, actor: str) -> Record:
    """Gives a rollback up: it no longer owns its components, and can never be executed. The systems stay as they are.

    Raises ConfigurationError where it was executed already.
    """
    plan = Repository(store).plan(rollback_id)
    journal = Journal(store, rollback_id)
    if journal.executed:
        raise ConfigurationError(
            f"Rollback {rollback_id} was executed, so there is nothing left to give up",
            next_step=f"Verify it: rollbackctl verify {rollback_id}",
        )
    if not journal.abandoned:
        journal.append("abandoned", actor=actor)
    return make_record(store, plan, journal)


class _Worker:
    """One worker's share in executing a rollback."""

    def __init__(
        self,
        plan: Plan,
        snapshot: Snapshot,
        components: dict[str, Component],
        store: Store,
        journal: Journal,
        progress: Progress,
        actor: str,
    ) -> None:
        self.plan = plan
        self._snapshot = snapshot
        self._states = {state.spec.name: state for state in snapshot.components}
        self._parts = {part.component: part for part in plan.components}
        self._components = components
        self._store = store
        self.journal = journal
        self._progress = progress
        self._actor = actor
        self._needs = rollback_needs(
            (state.spec for state in snapshot.components), [name for wave in plan.order for name in wave]
        )

    def open(self) -> None:
        """Takes the components; where nothing was changed yet, refuses drift and keeps what undoing takes."""
        begun = self.journal.touched
        self.journal.append("begin", actor=self._actor)
        try:
            for name, state in self._states.items():
                require_same_system(self._components[name], state)
                lock.acquire(self._store, state.identity, self.plan.rollback_id, name)
            if not begun:
                self._refuse_drift()
                self._keep_before()
        except BaseException as error:
            if begun:
                _record(self.journal, "failed", error)
            elif not self._others_write():  # "refused" frees the components
                _record(self.journal, "refused", error)
            raise

    def components(self) -> None:
        """Runs what is left of all components. Raises the first error, which says which are back."""
        outcome = run_side_by_side(self._needs, self._steps)
        for error in outcome.failed.values():
            if isinstance(error, RollbackError) and len(self._needs) > 1:
                error.state = f"{error.state}. {_standing(outcome)}"
            raise error

    def component(self, name: str) -> None:
        """Runs what is left of one component, and finishes the rollback where all others are done."""
        if name not in self._parts:
            raise ConfigurationError(
                f"Rollback {self.plan.rollback_id} has no part for component {name!r}",
                next_step=f"Name one of: {', '.join(self._parts)}",
            )
        if self.journal.before is None:
            raise ConfigurationError(f"Rollback {self.plan.rollback_id} has not begun", component=name)
        if missing := [each for each in self._needs[name] if not self._is_back(each)]:
            raise BusyError(
                f"{', '.join(missing)} must be back before, and is not",
                component=name,
                next_step="Execute that first, then try again",
            )
        self._steps(name)
        self.journal.refresh()
        while not self.journal.executed and all(map(self._is_back, self._parts)):
            with suppress(LockedError):
                self.finish()
            self.journal.refresh()

    def finish(self) -> None:
        """Completes the rollback."""
        if self._snapshot.undoes:
            _mark_undone(self._store, self._snapshot.undoes, self.plan.rollback_id)
        self.journal.append("executed", actor=self._actor)

    def _is_back(self, name: str) -> bool:
        return all(self.journal.done(step.id) for step in self._parts[name].steps)

    def _refuse_drift(self) -> None:
        for name, part in self._parts.items():
            now = self._components[name].fingerprint(self._states[name], part, self._store)
            if now != part.fingerprint:
                self._refuse_if_others_write()
                raise DriftError(
                    "The system has changed since this rollback was planned",
                    component=name,
                    next_step=f"Generate again and have it approved: rollbackctl generate {self.plan.snapshot_id}",
                )

    def _keep_before(self) -> None:
        """Keeps what it takes to undo this rollback."""

        def keep(name: str) -> Json:
            blobs = RecordingBlobs(self._store)
            component = cast(Undoable, self._components[name])
            before = component.before_rollback(self._states[name], self._parts[name], blobs, self._progress)
            return before.model_copy(update={"blobs": tuple(blobs.written)}).to_json()

        undoable = [name for name, part in self._parts.items() if part.steps and _is_undoable(self._components[name])]
        kept = all_side_by_side(undoable, keep)
        self._refuse_if_others_write()
        self.journal.append("before", data={"components": [*kept.values()]})

    def _refuse_if_others_write(self) -> None:
        """Raises LockedError where another worker has begun to write since this one read the journal.

        A step's first note precedes its first effect, so whoever has seen an effect finds the note.
        """
        if self._others_write():
            raise LockedError(
                f"Another worker is executing rollback {self.plan.rollback_id}",
                state="This worker has changed nothing; the other one goes on",
                next_step=f"Watch it: rollbackctl show {self.plan.rollback_id}",
            )

    def _others_write(self) -> bool:
        """As far as the store tells; where it cannot be read, they may."""
        try:
            return Journal(self._store, self.plan.rollback_id).touched
        except StoreError:
            return True

    def _steps(self, name: str) -> None:
        for step in self._parts[name].steps:
            if not self.journal.done(step.id):
                self._step(step)

    def _step(self, step: Step) -> None:
        journal, name = self.journal, step.component
        self._progress.message(f"{name}: {step.title}")
        journal.append("intent", component=name, step=step.id, actor=self._actor)
        notes = StepNotes(journal, step.id, name)
        try:
            outcome = self._components[name].apply(step, self._store, notes, self._progress)
        except Exception as error:
            if isinstance(error, RollbackError) and error.state == RollbackError.default_state:
                error.state = (
                    f"Step {step.id} is unfinished, the steps before it are done; executing again continues here"
                )
            _record(journal, "failed", error, step)
            raise
        journal.append("done", component=name, step=step.id, data=outcome.to_json())


def _is_undoable(component: Component) -> bool:
    return isinstance(component, Undoable)


def _standing(outcome: Outcome[None]) -> str:
    """Which components are back, and which are not."""
    parts = [
        f"Back: {', '.join(outcome.done) or 'none'}",
        f"not back: {', '.join(outcome.failed)}",
        *(f"not begun: {name}, which waits for {', '.join(needs)}" for name, needs in outcome.waiting.items()),
    ]
    return "; ".join(parts)


def _mark_undone(store: Store, rollback_id: str, by: str) -> None:
    journal = Journal(store, rollback_id)
    if journal.undone_by is None:
        journal.append("undone", data={"by": by})


def _record(
    journal: Journal, kind: Literal["failed", "refused"], error: BaseException, step: Step | None = None
) -> None:
    """Writes down why an attempt ended. Where that cannot be written either, the error itself matters more."""
    text = (
        str(error)
        if isinstance(error, RollbackError)
        else f"Unexpected {type(error).__name__}; the log holds its traceback"
    )
    with suppress(StoreError, LockedError):
        journal.append(
            kind, component=step.component if step else "", step=step.id if step else "", data={"error": text}
        )
