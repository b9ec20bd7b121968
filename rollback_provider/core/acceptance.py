"""Accepting a migration: it stays, and what it has soft-dropped is dropped for good.

The decision is written down before the first drop. Killed in between and run again, what is left is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime

from rollback_provider.core.base import Model
from rollback_provider.core.component import Component, ConnectionResolver, Progress, SoftDropping
from rollback_provider.core.errors import AlreadyExistsError, ConfigurationError, LockedError
from rollback_provider.core.journal import Journal
from rollback_provider.core.lock import owner_of
from rollback_provider.core.model import Acceptance, ComponentSpec, Snapshot, SoftDrop, utcnow
from rollback_provider.core.registry import build, require_same_system
from rollback_provider.core.repository import Repository, Store

Watch = Callable[[Component], None]


class AcceptReport(Model):
    """What was accepted, or with `dry_run` would be.

    :param snapshots: whose migrations
    :param dropped: what was dropped for good
    """

    dry_run: bool
    snapshots: tuple[str, ...] = ()
    dropped: tuple[SoftDrop, ...] = ()


def systems_of(store: Store) -> list[ComponentSpec]:
    """Each system that some snapshot in the store is of, as its newest snapshot declares it."""
    repository = Repository(store)
    snapshots = sorted(map(repository.snapshot, repository.snapshot_ids()), key=lambda each: each.created)
    return list({state.identity: state.spec for each in snapshots for state in each.components}.values())


def list_soft_drops(
    specs: Iterable[ComponentSpec], connections: ConnectionResolver, *, watch: Watch = lambda _: None
) -> list[SoftDrop]:
    """What is soft-dropped in these systems."""
    found: list[SoftDrop] = []
    for spec in specs:
        component = build(spec, connections)
        watch(component)
        try:
            found += component.soft_drops() if isinstance(component, SoftDropping) else ()
        finally:
            component.close()
    return found


def accept(
    store: Store,
    snapshot_id: str,
    connections: ConnectionResolver,
    progress: Progress,
    *,
    actor: str,
    dry_run: bool = False,
    watch: Watch = lambda _: None,
) -> AcceptReport:
    """Accepts the migration that a snapshot was taken before. Accepting it again drops what is left, and is no error.

    A rollback stays possible: what was dropped for good is then made again from the snapshot.

    Raises NotFoundError; LockedError while a rollback of one of the systems is open; ConfigurationError where the migration was rolled
    back; BusyError, PermissionDeniedError and the like from the systems, after which the same call continues.
    """
    repository = Repository(store)
    snapshot = repository.snapshot(snapshot_id)
    _refuse_rolled_back(repository, snapshot)
    specs = {state.spec.name: state for state in snapshot.components}
    for state in snapshot.components:
        _refuse_open(store, state.identity, state.spec.name)
    found = list_soft_drops([state.spec for state in snapshot.components], connections, watch=watch)
    # Two components may be one database: each object once.
    mine = {(specs[drop.component].identity, drop.address): drop for drop in found if drop.snapshot_id == snapshot_id}
    report = AcceptReport(dry_run=dry_run, snapshots=(snapshot_id,), dropped=tuple(mine.values()))
    if dry_run:
        return report
    with suppress(AlreadyExistsError):
        repository.save_acceptance(
            Acceptance(snapshot_id=snapshot_id, created=utcnow(), actor=actor, dropped=report.dropped)
        )
    for (identity, _), drop in mine.items():
        component = build(specs[drop.component].spec, connections)
        watch(component)
        try:
            require_same_system(component, specs[drop.component])
            _drop(store, component, identity, drop, progress)
        finally:
            component.close()
    return report


def accept_older(
    store: Store,
    cutoff: datetime,
    connections: ConnectionResolver,
    progress: Progress,
    *,
    actor: str,
    dry_run: bool = False,
    watch: Watch = lambda _: None,
) -> AcceptReport:
    """Accepts the migrations that have soft-dropped anything before `cutoff`, in all systems that the store has snapshots of.

    What names no snapshot of the store, because the snapshot was pruned or the migration did not say, is dropped for good by its age alone.
    """
    repository = Repository(store)
    specs = systems_of(store)
    old = [drop for drop in list_soft_drops(specs, connections, watch=watch) if drop.time < cutoff]
    known = set(repository.snapshot_ids())
    reports = [
        accept(store, snapshot_id, connections, progress, actor=actor, dry_run=dry_run, watch=watch)
        for snapshot_id in dict.fromkeys(drop.snapshot_id for drop in old)
        if snapshot_id in known
    ]
    orphans = [drop for drop in old if drop.snapshot_id not in known]
    by_name = {spec.name: spec for spec in specs}
    for drop in () if dry_run else orphans:
        component = build(by_name[drop.component], connections)
        watch(component)
        try:
            _drop(store, component, component.identity(), drop, progress)
        finally:
            component.close()
    return AcceptReport(
        dry_run=dry_run,
        snapshots=tuple(each for report in reports for each in report.snapshots),
        dropped=(*(drop for report in reports for drop in report.dropped), *orphans),
    )


def _drop(store: Store, component: Component, identity: str, drop: SoftDrop, progress: Progress) -> None:
    _refuse_open(store, identity, drop.component)
    assert isinstance(component, SoftDropping)  # noqa: S101  it has listed the drop
    component.drop_for_good(drop)
    progress.message(f"{drop.component}: {drop.kind} {drop.scope} is dropped for good")


def _refuse_open(store: Store, identity: str, component: str) -> None:
    if owner := owner_of(store, identity):
        raise LockedError(
            f"Rollback {owner} has begun and is not finished",
            component=component,
            state="Nothing more was dropped",
            next_step=f"Finish it: rollbackctl execute {owner}; or give it up: rollbackctl abandon {owner}",
        )


def _refuse_rolled_back(repository: Repository, snapshot: Snapshot) -> None:
    for rollback_id in repository.rollback_ids():
        if repository.plan(rollback_id).snapshot_id == snapshot.id:
            journal = Journal(repository.store, rollback_id)
            if journal.executed and journal.started:
                raise ConfigurationError(
                    f"The migration was taken back by rollback {rollback_id}",
                    next_step="Accept the snapshot that was taken before it was run again",
                )
