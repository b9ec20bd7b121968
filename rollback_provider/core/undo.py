"""Undoes a rollback: plans the way back to the state before it, by the same machinery as any other rollback.

The state before is put together from what the executor kept before the first step and from the notes of the steps, and sealed as a
snapshot; what the rollback changed is sealed as a checkpoint of it. Then a plan is made as from any snapshot: to be approved, executed,
verified, and undone in its turn.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from rollback_provider.core.capturer import RecordingBlobs
from rollback_provider.core.component import Component, ConnectionResolver, Progress, Undoable
from rollback_provider.core.errors import AlreadyExistsError, ConfigurationError, LockedError, UnsupportedError
from rollback_provider.core.journal import Journal
from rollback_provider.core.model import Attribution, Checkpoint, ComponentState, Plan, Policy, Snapshot
from rollback_provider.core.planner import generate
from rollback_provider.core.registry import build, require_same_system
from rollback_provider.core.repository import Repository, Store, make_id


def undo(
    store: Store,
    rollback_id: str,
    connections: ConnectionResolver,
    progress: Progress,
    *,
    actor: str,
    policy: Policy | None = None,
    watch: Callable[[Component], None] = lambda _: None,
) -> Plan:
    """Plans to bring back the state before a rollback, and to keep what was written since; seals the plan.

    The rollback must have been executed, or abandoned half-way. Raises what :func:`~rollback_provider.core.planner.generate` raises, and
    ConfigurationError where there is nothing to undo.
    """
    repository = Repository(store)
    plan = repository.plan(rollback_id)
    journal = Journal(store, rollback_id)
    before = _before(plan, journal)
    after = {state.spec.name: state for state in repository.snapshot(plan.snapshot_id).components}
    parts = {part.component: part for part in plan.components}
    states: list[ComponentState] = []
    left: list[ComponentState] = []
    for kept in before:
        name = kept.spec.name
        component = build(kept.spec, connections)
        watch(component)
        blobs = RecordingBlobs(store)
        try:
            if not isinstance(component, Undoable):
                raise UnsupportedError(f"Rollbacks of kind {component.kind!r} cannot be undone", component=name)
            require_same_system(component, kept)
            state, checkpoint = component.undone(after[name], kept, parts[name], journal.notes, blobs, progress)
        finally:
            component.close()
        # The order turns round: what the rollback changed first goes back last.
        spec = kept.spec.model_copy(
            update={"after": tuple(other.spec.name for other in before if name in other.spec.after)}
        )
        needed = tuple(dict.fromkeys([*blobs.written, *after[name].blobs, *kept.blobs]))
        same = {"spec": spec, "captured": kept.captured, "blobs": needed}
        states.append(state.model_copy(update=same))
        left.append(checkpoint.model_copy(update=same))
    snapshot, checkpoint_id = _seal(repository, plan, journal, tuple(states), tuple(left))
    return generate(
        store,
        snapshot.id,
        connections,
        progress,
        actor=actor,
        policy=policy,
        checkpoint_id=checkpoint_id,
        watch=watch,
    )


def _before(plan: Plan, journal: Journal) -> tuple[ComponentState, ...]:
    """What was kept of the state before. Raises ConfigurationError, LockedError where there is nothing to undo, or not yet."""
    rollback_id = plan.rollback_id
    if journal.undone_by:
        raise ConfigurationError(
            f"Rollback {rollback_id} was undone already",
            next_step=f"To take that back: rollbackctl undo {journal.undone_by}",
        )
    if not journal.touched:
        raise ConfigurationError(f"Rollback {rollback_id} has changed nothing, so there is nothing to undo")
    if not (journal.executed or journal.abandoned):
        raise LockedError(
            f"Rollback {rollback_id} has begun and is not finished",
            state="The systems are somewhere between migrated and rolled back",
            next_step=f"Finish it: rollbackctl execute {rollback_id}; or give it up: rollbackctl abandon {rollback_id}",
        )
    kept = {state.spec.name: state for state in journal.before or ()}
    changed = [part.component for part in plan.components if any(journal.notes(step.id) for step in part.steps)]
    if missing := [name for name in changed if name not in kept]:
        raise ConfigurationError(
            f"Nothing was kept to undo rollback {rollback_id} of {', '.join(missing)}",
            next_step="What the migration did can be done again by running it again",
        )
    return tuple(kept[name] for name in changed)


def _seal(
    repository: Repository,
    plan: Plan,
    journal: Journal,
    states: tuple[ComponentState, ...],
    left: tuple[ComponentState, ...],
) -> tuple[Snapshot, str]:
    """Seals snapshot and checkpoint, as of the moments they speak of: made again, they are the same."""
    migration = f"rollback of {plan.migration}"
    began = next(event for event in reversed(journal.events) if event.kind == "before")
    actor = next(event.actor for event in reversed(journal.events) if event.kind == "begin")
    snapshot = Snapshot(
        id="", migration=migration, created=began.time, actor=actor, components=states, undoes=plan.rollback_id
    )
    snapshot = snapshot.model_copy(update={"id": make_id(migration, snapshot.created, snapshot.to_json())})
    ended = next(event for event in reversed(journal.events) if event.kind in {"executed", "abandoned"})
    checkpoint = Checkpoint(
        id="",
        snapshot_id=snapshot.id,
        created=ended.time,
        actor=actor,
        attribution=Attribution.JOURNAL,
        components=left,
    )
    checkpoint = checkpoint.model_copy(update={"id": make_id("checkpoint", checkpoint.created, checkpoint.to_json())})
    with suppress(AlreadyExistsError):
        repository.save_snapshot(snapshot)
    with suppress(AlreadyExistsError):
        repository.save_checkpoint(checkpoint)
    return snapshot, checkpoint.id
