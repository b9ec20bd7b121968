"""Takes snapshots and checkpoints of all components and seals them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import cast

from rollback_provider.core.checking import seal_checks
from rollback_provider.core.component import Blobs, Component, ConnectionResolver, Incremental, Progress
from rollback_provider.core.errors import ConfigurationError, LockedError, StoreError
from rollback_provider.core.lock import owner_of
from rollback_provider.core.model import (
    Attribution,
    BlobRef,
    Checkpoint,
    ComponentSpec,
    ComponentState,
    Snapshot,
    utcnow,
)
from rollback_provider.core.registry import build, rollback_order
from rollback_provider.core.repository import Repository, Store, make_id
from rollback_provider.core.schedule import all_side_by_side
from rollback_provider.core.verification import CheckSpec, SealedCheck

_LOOKED_AT = 20
"""Snapshots, the newest first, among which one to build upon is looked for."""


class RecordingBlobs:
    """The store's blobs, remembering the address of each blob written through it, so that a manifest can name them all."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self.written: dict[str, None] = {}

    def put_blob(self, content: bytes) -> BlobRef:
        """Stores `content` and remembers its address."""
        ref = self._blobs.put_blob(content)
        self.written[ref.digest] = None
        return ref

    def put_compressed(self, ref: BlobRef, data: bytes) -> None:
        """Stores compressed content and remembers its address."""
        self._blobs.put_compressed(ref, data)
        self.written[ref.digest] = None

    def get_blob(self, digest: str) -> bytes:
        """The content of this address."""
        return self._blobs.get_blob(digest)


def take_snapshot(
    store: Store,
    migration: str,
    specs: Sequence[ComponentSpec],
    connections: ConnectionResolver,
    progress: Progress,
    *,
    actor: str,
    checks: Sequence[CheckSpec] = (),
    watch: Callable[[Component], None] = lambda _: None,
) -> Snapshot:
    """Captures every component and seals the snapshot. Nothing is sealed unless all succeed.

    :param migration: the migration's name, chosen by the user
    :param checks: what must hold after the migration and after its rollback; sealed with it
    :param watch: told each component before it is used, so that a caller can cancel it

    Raises LockedError where a rollback has begun and is not finished: what is between two states is none to come back to.
    """
    if not migration.strip():
        raise ConfigurationError("The migration has no name")
    rollback_order(specs)
    repository = Repository(store)
    sealed = seal_checks(checks, connections)
    while True:
        snapshot, used = _captured(store, migration, specs, connections, progress, actor, watch, sealed)
        repository.save_snapshot(snapshot)
        if used <= set(repository.snapshot_ids()):
            return snapshot
        # A prune has removed what this one builds upon before it could see that it does.
        store.delete(f"snapshots/{snapshot.id}")


def _captured(
    store: Store,
    migration: str,
    specs: Sequence[ComponentSpec],
    connections: ConnectionResolver,
    progress: Progress,
    actor: str,
    watch: Callable[[Component], None],
    checks: tuple[SealedCheck, ...],
) -> tuple[Snapshot, set[str]]:
    """A snapshot that is not sealed yet, and the ids of the snapshots on which it builds."""
    created = utcnow()
    used: set[str] = set()

    def capture(component: Component, blobs: RecordingBlobs) -> ComponentState:
        identity = component.identity()
        if owner := owner_of(store, identity):
            raise LockedError(
                f"Rollback {owner} has begun and is not finished",
                component=component.spec.name,
                state="The component is somewhere between migrated and rolled back; no snapshot was taken",
                next_step=f"Finish it: rollbackctl execute {owner}; or give it up: rollbackctl abandon {owner}",
            )
        found = _earlier(Repository(store), component, identity) if isinstance(component, Incremental) else None
        if found is None:
            return component.capture(blobs, progress)
        snapshot_id, earlier = found
        used.add(snapshot_id)
        return cast(Incremental, component).capture_since(earlier, blobs, progress)

    states = _capture_all(store, specs, connections, capture, watch)
    draft = Snapshot(id="", migration=migration, created=created, actor=actor, components=states, checks=checks)
    return draft.model_copy(update={"id": make_id(migration, created, draft.to_json())}), used


def _earlier(repository: Repository, component: Component, identity: str) -> tuple[str, ComponentState] | None:
    """The newest state of the same system, with the same options, and its snapshot's id.

    What cannot be read is passed over, and so is what was put together of a rollback's journal: no component has captured it.
    """
    newest_first = sorted(repository.snapshot_ids(), key=lambda snapshot_id: snapshot_id.split("-")[-2:], reverse=True)
    for snapshot_id in newest_first[:_LOOKED_AT]:
        with suppress(StoreError):
            snapshot = repository.snapshot(snapshot_id)
            for state in snapshot.components if snapshot.undoes is None else ():
                spec = state.spec
                if (state.identity, spec.kind, spec.options) == (identity, component.kind, component.spec.options):
                    return snapshot_id, state
    return None


def take_checkpoint(
    store: Store,
    snapshot_id: str,
    connections: ConnectionResolver,
    progress: Progress,
    *,
    actor: str,
    exact: Checkpoint | None = None,
    watch: Callable[[Component], None] = lambda _: None,
) -> Checkpoint:
    """Records what changed since the snapshot, vouching that only the migration wrote (attribution ``quiet``).

    :param exact: a checkpoint that was sealed inside the migration; its components are taken from it as they are
    """
    snapshot = Repository(store).snapshot(snapshot_id)
    kept = {state.spec.name: state for state in exact.components} if exact else {}

    before = {state.spec.name: state for state in snapshot.components}

    def capture(component: Component, blobs: RecordingBlobs) -> ComponentState:
        return component.checkpoint(before[component.spec.name], blobs, progress)

    specs = [state.spec for name, state in before.items() if name not in kept]
    captured = _capture_all(store, specs, connections, capture, watch)
    states = kept | {state.spec.name: state for state in captured}
    return seal_checkpoint(store, snapshot, tuple(states[name] for name in before), Attribution.QUIET, actor=actor)


def is_complete(checkpoint: Checkpoint, snapshot: Snapshot) -> bool:
    """Whether a checkpoint tells of all components of its snapshot."""
    return {state.spec.name for state in checkpoint.components} >= {state.spec.name for state in snapshot.components}


def seal_checkpoint(
    store: Store, snapshot: Snapshot, states: tuple[ComponentState, ...], attribution: Attribution, *, actor: str
) -> Checkpoint:
    """Seals a checkpoint from states that were captured already."""
    draft = Checkpoint(
        id="", snapshot_id=snapshot.id, created=utcnow(), actor=actor, attribution=attribution, components=states
    )
    checkpoint = draft.model_copy(update={"id": make_id("checkpoint", draft.created, draft.to_json())})
    Repository(store).save_checkpoint(checkpoint)
    return checkpoint


def _capture_all(
    store: Store,
    specs: Sequence[ComponentSpec],
    connections: ConnectionResolver,
    capture: Callable[[Component, RecordingBlobs], ComponentState],
    watch: Callable[[Component], None],
) -> tuple[ComponentState, ...]:
    """Captures all components at the same time."""
    by_name = {spec.name: spec for spec in specs}

    def run(name: str) -> ComponentState:
        component = build(by_name[name], connections)
        watch(component)
        blobs = RecordingBlobs(store)
        try:
            state = capture(component, blobs)
        finally:
            component.close()
        return state.model_copy(update={"blobs": tuple(dict.fromkeys((*state.blobs, *blobs.written)))})

    return tuple(all_side_by_side(by_name, run).values())
