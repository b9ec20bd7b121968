"""Finds snapshots by what people know of them."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.core.errors import ConfigurationError, NotFoundError
from rollback_provider.core.journal import Journal
from rollback_provider.core.model import Snapshot, utcnow
from rollback_provider.core.repository import Repository, make_id


def snapshots_of(repository: Repository, migration: str) -> Iterator[Snapshot]:
    """Snapshots of a migration, newest first, each read only when it is asked for."""
    prefix = _prefix(migration)
    mine = [
        name
        for name in repository.snapshot_ids()
        if name.startswith(prefix) and name.removeprefix(prefix).count("-") == 1
    ]
    for snapshot_id in sorted(mine, reverse=True):
        snapshot = repository.snapshot(snapshot_id)
        if snapshot.migration == migration:
            yield snapshot


def find_snapshot(repository: Repository, snapshot_id: str | None, migration: str | None) -> Snapshot:
    """The snapshot of this id, or the newest of this migration. Raises ConfigurationError unless exactly one is given, NotFoundError."""
    if bool(snapshot_id) == bool(migration):
        given = "both" if snapshot_id else "neither"
        raise ConfigurationError(f"Give a snapshot id or a migration's name; there is {given}")
    if snapshot_id:
        return repository.snapshot(snapshot_id)
    found = next(snapshots_of(repository, str(migration)), None)
    if found is None:
        raise NotFoundError(f"There is no snapshot of migration {migration!r} in {repository.store.url}")
    return found


def find_undoing(repository: Repository, rollback_id: str) -> Snapshot | None:
    """The snapshot of the state before a rollback, where undoing it has been planned already. Raises NotFoundError."""
    migration = f"rollback of {repository.plan(rollback_id).migration}"
    return next((found for found in snapshots_of(repository, migration) if found.undoes == rollback_id), None)


def used_by(repository: Repository, snapshot: Snapshot) -> str | None:
    """Id of a rollback to this snapshot that has changed the systems or found nothing to change, if there is one."""
    prefix = _prefix(f"rollback-{snapshot.migration}")
    for rollback_id in repository.rollback_ids():
        if rollback_id.startswith(prefix) and repository.plan(rollback_id).snapshot_id == snapshot.id:
            journal = Journal(repository.store, rollback_id)
            if journal.started or journal.executed:
                return rollback_id
    return None


def _prefix(label: str) -> str:
    return make_id(label, utcnow(), {}).rsplit("-", 2)[0] + "-"
