"""Migrations that commit as they go: their sessions bear a mark, and what they write is told from what applications write meanwhile.

A checkpoint with the attribution ``tracking`` is sealed when it begins, one with ``triggers`` when it has ended. Killed at any point, the
same call goes on: what is needed is in the store and in the systems themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rollback_provider.core.capturer import RecordingBlobs, seal_checkpoint
from rollback_provider.core.component import Component, ConnectionResolver, Progress, Trackable
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.model import Attribution, Checkpoint, ComponentState, Snapshot
from rollback_provider.core.registry import build, require_same_system
from rollback_provider.core.repository import Repository, Store

Watch = Callable[[Component], None]


def begin_tracking(
    store: Store,
    snapshot_id: str,
    connections: ConnectionResolver,
    progress: Progress,
    *,
    actor: str,
    whole: Sequence[str] = (),
    watch: Watch = lambda _: None,
) -> Checkpoint:
    """Tracks the migration of every component of a snapshot that can be tracked. Only then may it begin.

    :param whole: tables of which the writes of all sessions are logged, because the migration drops them or columns of them

    Raises ConfigurationError where nothing can be tracked or the migration has begun already, and what the components raise. Nothing is
    tracked then.
    """
    snapshot = Repository(store).snapshot(snapshot_id)
    newest = _newest(store, snapshot_id)
    if newest is not None:
        raise ConfigurationError(
            f"The migration of snapshot {snapshot_id} has begun already: checkpoint {newest.id}",
            state="Nothing was changed",
            next_step="Take a new snapshot for the next migration",
        )
    tracked = [each for each in snapshot.components if isinstance(build(each.spec, connections), Trackable)]
    if not tracked:
        raise ConfigurationError(
            f"Snapshot {snapshot_id} has no component that can be tracked",
            state="Nothing was changed",
            next_step="Track migrations of PostgreSQL; for other systems, see that nobody else writes meanwhile",
        )
    states: list[ComponentState] = []
    try:
        for before in tracked:
            states.append(_begun(store, before, snapshot_id, connections, progress, whole, watch))  # noqa: PERF401  of use when one fails
        return seal_checkpoint(store, snapshot, tuple(states), Attribution.TRACKING, actor=actor)
    except BaseException:
        _untrack(snapshot, tracked[: len(states)], connections, watch)
        raise


def _begun(
    store: Store,
    before: ComponentState,
    mark: str,
    connections: ConnectionResolver,
    progress: Progress,
    whole: Sequence[str],
    watch: Watch,
) -> ComponentState:
    component = _trackable(before, connections, watch)
    blobs = RecordingBlobs(store)
    try:
        require_same_system(component, before)
        earlier = component.tracked_mark()
        if earlier and earlier in Repository(store).snapshot_ids() and _newest(store, earlier) is None:
            component.untrack(earlier)  # killed before its beginning was sealed: no migration has been told its mark
        state = component.track(before, mark, whole, blobs, progress)
    finally:
        component.close()
    return state.model_copy(update={"blobs": tuple(dict.fromkeys((*state.blobs, *blobs.written)))})


def was_tracked(store: Store, snapshot_id: str) -> bool:
    """Whether a migration is tracked, or was to its end."""
    newest = _newest(store, snapshot_id)
    return newest is not None and newest.attribution in {Attribution.TRACKING, Attribution.TRIGGERS}


def end_tracking(
    store: Store,
    snapshot_id: str,
    connections: ConnectionResolver,
    progress: Progress,
    *,
    actor: str,
    watch: Watch = lambda _: None,
) -> Checkpoint:
    """Records what the migration changed, wherever it has ended, and leaves nothing of ours in the systems.

    The migration's sessions must have ended: what one of them still writes passes for an application's. Again after that, it only looks for
    what was left behind.
    """
    snapshot = Repository(store).snapshot(snapshot_id)
    newest = _newest(store, snapshot_id)
    if newest is None or not was_tracked(store, snapshot_id):
        raise ConfigurationError(
            f"The migration of snapshot {snapshot_id} was not tracked", next_step="Begin with: rollbackctl track"
        )
    started = {state.spec.name: state for state in newest.components}
    tracked = [state for state in snapshot.components if state.spec.name in started]
    if newest.attribution is Attribution.TRACKING:
        states = tuple(
            _recorded(store, before, started[before.spec.name], snapshot_id, connections, progress, watch)
            for before in tracked
        )
        newest = seal_checkpoint(store, snapshot, states, Attribution.TRIGGERS, actor=actor)
    _untrack(snapshot, tracked, connections, watch)
    return newest


def _recorded(
    store: Store,
    before: ComponentState,
    started: ComponentState,
    mark: str,
    connections: ConnectionResolver,
    progress: Progress,
    watch: Watch,
) -> ComponentState:
    component = _trackable(before, connections, watch)
    blobs = RecordingBlobs(store)
    try:
        require_same_system(component, before)
        state = component.tracked(before, started, mark, blobs, progress)
    finally:
        component.close()
    return state.model_copy(update={"blobs": tuple(dict.fromkeys((*started.blobs, *state.blobs, *blobs.written)))})


def _untrack(
    snapshot: Snapshot, states: Sequence[ComponentState], connections: ConnectionResolver, watch: Watch
) -> None:
    for state in states:
        component = _trackable(state, connections, watch)
        try:
            component.untrack(snapshot.id)
        finally:
            component.close()


def _trackable(state: ComponentState, connections: ConnectionResolver, watch: Watch) -> Trackable:
    component = build(state.spec, connections)
    watch(component)
    if not isinstance(component, Trackable):
        raise ConfigurationError(f"A component of kind {state.spec.kind} cannot be tracked", component=state.spec.name)
    return component


def _newest(store: Store, snapshot_id: str) -> Checkpoint | None:
    return next(reversed(Repository(store).checkpoints(snapshot_id)), None)
