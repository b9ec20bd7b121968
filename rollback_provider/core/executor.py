"""Executes a plan: locks, checks that the plan still holds, runs its steps, and journals each.

The steps of one component run in order, and after those of the components that must be back before it; independent components run side by
side. Where one fails, those that need it are not begun, and the others go on.

Killed at any point and run again, it continues: steps that are done are passed over, the one in progress is handed its own notes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Literal, cast

from rollback_provider.core import lock
from rollback_provider.core.capturer import RecordingBlobs
from rollback_provider.core.component import Component, ConnectionResolver, Progress, Undoable
from rollback_provider.core.errors import ConfigurationError, DriftError, LockedError, RollbackError, StoreError
from rollback_provider.core.journal import Journal, StepNotes
from rollback_provider.core.model import Json, Plan, Record, Snapshot, Step
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
    watch: Callable[[Component], None] = lambda _: None,
) -> Record:
    """Runs what is left of a plan and returns the record, with status ``executed``.

    Raises NotFoundError, ConfigurationError, LockedError, DriftError before anything is changed; BusyError, ComponentUnavailableError or
    StepFailedError on the way, after which the same call continues.
    """
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
    if journal.executed:
        return make_record(store, plan, journal)
    with ExitStack() as stack:
        components: dict[str, Component] = {}
        for state in snapshot.components:
            component = components[state.spec.name] = build(state.spec, connections)
            stack.callback(component.close)
            watch(component)
        begun = journal.touched
        journal.append("begin", actor=actor)
        try:
            for state in snapshot.components:
                require_same_system(components[state.spec.name], state)
                lock.acquire(store, state.identity, rollback_id, state.spec.name)
            if not begun:
                _refuse_drift(plan, snapshot, components, store)
                _keep_before(plan, snapshot, components, store, journal, progress)
        except BaseException as error:
            _record(journal, "failed" if begun else "refused", error)
            raise
        _run_all(plan, snapshot, components, store, journal, progress)
        if snapshot.undoes:
            _mark_undone(store, snapshot.undoes, rollback_id)
        journal.append("executed", actor=actor)
    return make_record(store, plan, journal)


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


def _refuse_drift(plan: Plan, snapshot: Snapshot, components: dict[str, Component], store: Store) -> None:
    states = {state.spec.name: state for state in snapshot.components}
    for part in plan.components:
        if components[part.component].fingerprint(states[part.component], part, store) != part.fingerprint:
            raise DriftError(
                "The system has changed since this rollback was planned",
                component=part.component,
                next_step=f"Generate again and have it approved: rollbackctl generate {plan.snapshot_id}",
            )


def _keep_before(
    plan: Plan,
    snapshot: Snapshot,
    components: dict[str, Component],
    store: Store,
    journal: Journal,
    progress: Progress,
) -> None:
    """Keeps what it takes to undo this rollback."""
    states = {state.spec.name: state for state in snapshot.components}
    parts = {part.component: part for part in plan.components}

    def keep(name: str) -> Json:
        blobs = RecordingBlobs(store)
        before = cast(Undoable, components[name]).before_rollback(states[name], parts[name], blobs, progress)
        return before.model_copy(update={"blobs": tuple(blobs.written)}).to_json()

    undoable = [name for name, part in parts.items() if part.steps and isinstance(components[name], Undoable)]
    kept = all_side_by_side(undoable, keep)
    if kept:
        journal.append("before", data={"components": [*kept.values()]})


def _run_all(
    plan: Plan,
    snapshot: Snapshot,
    components: dict[str, Component],
    store: Store,
    journal: Journal,
    progress: Progress,
) -> None:
    parts = {part.component: part for part in plan.components}

    def run(name: str) -> None:
        for step in parts[name].steps:
            if not journal.done(step.id):
                _run(step, components[name], store, journal, progress)

    order = [name for wave in plan.order for name in wave]
    outcome = run_side_by_side(rollback_needs((state.spec for state in snapshot.components), order), run)
    for error in outcome.failed.values():
        if isinstance(error, RollbackError) and len(order) > 1:
            error.state = f"{error.state}. {_standing(outcome)}"
        raise error


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


def _run(step: Step, component: Component, store: Store, journal: Journal, progress: Progress) -> None:
    progress.message(f"{step.component}: {step.title}")
    journal.append("intent", step=step.id)
    try:
        outcome = component.apply(step, store, StepNotes(journal, step.id), progress)
    except Exception as error:
        if isinstance(error, RollbackError) and error.state == RollbackError.default_state:
            error.state = f"Step {step.id} is unfinished, the steps before it are done; executing again continues here"
        _record(journal, "failed", error, step.id)
        raise
    journal.append("done", step=step.id, data=outcome.to_json())


def _record(journal: Journal, kind: Literal["failed", "refused"], error: BaseException, step: str = "") -> None:
    """Writes down why an attempt ended. Where that cannot be written either, the error itself matters more."""
    text = (
        str(error)
        if isinstance(error, RollbackError)
        else f"Unexpected {type(error).__name__}; the log holds its traceback"
    )
    with suppress(StoreError, LockedError):
        journal.append(kind, step=step, data={"error": text})
