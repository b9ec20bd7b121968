"""Retention: removes snapshots that no rule keeps, and blobs that nothing refers to any more.

Order of removal, so that a crash at any point leaves a store in which every document's references resolve: a
rollback's plan, then its journal; a snapshot, then its checkpoints, decisions, verifications, rehearsals, certificates
and acceptance; blobs last. The first of each is what makes the others reachable, so what a crash leaves behind is garbage
that nobody can meet, and the next run removes it. The other way round, a snapshot would for a moment have lost its
checkpoint, and a rollback planned then could no longer tell the migration's changes from an application's.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from rollback_provider.core.base import Model
from rollback_provider.core.errors import ConfigurationError, NotFoundError
from rollback_provider.core.model import Snapshot, utcnow
from rollback_provider.core.repository import Repository
from rollback_provider.store.needs import needs_of_rollback, needs_of_snapshot
from rollback_provider.store.rules import Rules, kept_by_rules
from rollback_provider.store.snapshot_store import SnapshotStore

DEFAULT_GRACE = timedelta(hours=48)
"""Nothing younger than this is removed. A capture must be sealed within this time less 24 hours (see
``REUSE_WITHIN``)."""

_BEHIND = ("certificates", "checkpoints", "decisions", "rehearsals", "verifications")
"""Folders with one of their own for each snapshot."""

_REFERENCE = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


class KeptSnapshot(Model):
    """A snapshot that stays, and each reason for it."""

    id: str
    migration: str
    created: datetime
    reasons: tuple[str, ...]


class PruneReport(Model):
    """What a prune has removed, or with `dry_run` would remove.

    :param kept: the snapshots that stay
    :param documents: how many documents of all kinds are removed, journals included
    :param blobs: how many blobs are removed
    :param bytes: what these blobs take in the store
    :param leftovers: unfinished files of killed writers that were removed; a dry run does not look for them
    """

    dry_run: bool
    kept: tuple[KeptSnapshot, ...]
    snapshots: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    rollbacks: tuple[str, ...] = ()
    documents: int = 0
    blobs: int = 0
    bytes: int = 0
    leftovers: int = 0


def prune(
    store: SnapshotStore,
    *,
    keep_last: int | None = None,
    keep_within: timedelta | None = None,
    keep_daily: int | None = None,
    keep_weekly: int | None = None,
    dry_run: bool = False,
    grace: timedelta = DEFAULT_GRACE,
) -> PruneReport:
    """Removes snapshots with their checkpoints and rollbacks, and then blobs that no remaining document refers to.

    The rules count for each migration by itself (:class:`~rollback_provider.store.rules.Rules`). Kept in any case:
    pinned snapshots; those of which a certificate is valid; those with an open rollback, one that has begun and is neither
    verified nor abandoned; and all that is younger than `grace`, where a rollback's latest event
    counts for its snapshot. Locks are never removed.

    Safe beside captures and rollbacks while `grace` is at least 48 hours; a shorter one needs a store that nothing
    else writes to. Raises ConfigurationError where no rule is given; IntegrityError, FormatVersionError for a document
    that cannot be read: then no blob is removed, because it is not known which ones that document needs.
    """
    rules = Rules(keep_last, keep_within, keep_daily, keep_weekly)
    if grace < timedelta():
        raise ConfigurationError("The grace period is negative")
    now = utcnow()
    cutoff = now - grace
    inventory = _Inventory.of(store)
    kept, doomed = _select(store, inventory, rules, now, cutoff)
    gone: list[str] = []
    for snapshot in doomed:
        names = _documents_of(store, snapshot.id, inventory.rollbacks[snapshot.id])
        # Once more: a person may have pinned it, or begun to roll back, since it was looked at.
        if not dry_run and (
            reasons := needs_of_snapshot(store, snapshot, inventory.refreshed(store, snapshot.id), cutoff)
        ):
            kept.append(_keep(snapshot, reasons))
            continue
        gone += _remove(store, names, dry_run=dry_run)
    gone += _remove(store, _unreachable(store, inventory, cutoff), dry_run=dry_run)
    # Before the documents are read: whatever a document sealed from now on refers to is young, or was put again and so
    # made young.
    old = [blob for blob in store.blobs() if blob.modified < cutoff]
    references = _references(store, without=set(gone))
    garbage = [blob for blob in old if blob.digest not in references]
    if not dry_run:
        garbage = [blob for blob in garbage if store.delete_blob(blob.digest, unless_after=cutoff)]
    return PruneReport(
        dry_run=dry_run,
        kept=tuple(sorted(kept, key=lambda each: (each.migration, each.created, each.id))),
        snapshots=tuple(name.split("/")[-1] for name in gone if name.startswith("snapshots/")),
        checkpoints=tuple(name.split("/")[-1] for name in gone if name.startswith("checkpoints/")),
        rollbacks=tuple(
            name.split("/")[1] for name in gone if name.startswith("rollbacks/") and name.endswith("/plan")
        ),
        documents=len(gone),
        blobs=len(garbage),
        bytes=sum(blob.stored_size for blob in garbage),
        leftovers=0 if dry_run else store.remove_leftovers(cutoff),
    )


@dataclass
class _Inventory:
    """All snapshots by id, and the ids of the rollbacks planned from each."""

    snapshots: dict[str, Snapshot]
    rollbacks: dict[str, list[str]]

    @classmethod
    def of(cls, store: SnapshotStore) -> _Inventory:
        # Plans first: each one's snapshot was there before it, so that one found without a snapshot has truly lost it.
        repository = Repository(store)
        inventory = cls({}, defaultdict(list))
        inventory.add_plans(repository)
        inventory.snapshots = {each: repository.snapshot(each) for each in repository.snapshot_ids()}
        return inventory

    @property
    def rollback_ids(self) -> set[str]:
        return {rollback_id for ids in self.rollbacks.values() for rollback_id in ids}

    def refreshed(self, store: SnapshotStore, snapshot_id: str) -> list[str]:
        """The rollbacks of a snapshot, with those that were planned meanwhile."""
        self.add_plans(Repository(store))
        return self.rollbacks[snapshot_id]

    def add_plans(self, repository: Repository) -> None:
        """Adds the rollbacks that are not known yet."""
        known = self.rollback_ids
        for rollback_id in repository.rollback_ids():
            if rollback_id not in known:
                self.rollbacks[repository.plan(rollback_id).snapshot_id].append(rollback_id)


def _select(
    store: SnapshotStore, inventory: _Inventory, rules: Rules, now: datetime, cutoff: datetime
) -> tuple[list[KeptSnapshot], list[Snapshot]]:
    by_rules = kept_by_rules(inventory.snapshots.values(), rules, now)
    kept: list[KeptSnapshot] = []
    doomed: list[Snapshot] = []
    for snapshot in sorted(inventory.snapshots.values(), key=lambda each: (each.created, each.id)):
        needs = needs_of_snapshot(store, snapshot, inventory.rollbacks[snapshot.id], cutoff)
        if reasons := [*by_rules.get(snapshot.id, []), *needs]:
            kept.append(_keep(snapshot, reasons))
        else:
            doomed.append(snapshot)
    return kept, doomed


def _keep(snapshot: Snapshot, reasons: list[str]) -> KeptSnapshot:
    return KeptSnapshot(id=snapshot.id, migration=snapshot.migration, created=snapshot.created, reasons=tuple(reasons))


def _documents_of(store: SnapshotStore, snapshot_id: str, rollback_ids: list[str]) -> list[str]:
    """Everything that goes with a snapshot, in the order of removal."""
    names: list[str] = []
    for rollback_id in rollback_ids:
        names += [f"rollbacks/{rollback_id}/plan", *store.names(f"rollbacks/{rollback_id}/journal/")]
    accepted = [name for name in store.names("acceptances/") if name == f"acceptances/{snapshot_id}"]
    behind = [name for kind in _BEHIND for name in store.names(f"{kind}/{snapshot_id}/")]
    return [*names, f"snapshots/{snapshot_id}", *behind, *accepted]


def _unreachable(store: SnapshotStore, inventory: _Inventory, cutoff: datetime) -> list[str]:
    """What a prune that was cut short has left: journals without a plan; and what belongs to a snapshot that is gone."""
    names: list[str] = []
    for snapshot_id in inventory.rollbacks.keys() - inventory.snapshots.keys():
        for rollback_id in inventory.rollbacks[snapshot_id]:
            if not needs_of_rollback(store, rollback_id, cutoff):
                names += [f"rollbacks/{rollback_id}/plan", *store.names(f"rollbacks/{rollback_id}/journal/")]
    planned = inventory.rollback_ids
    names += [name for name in store.names_before("rollbacks/", cutoff) if name.split("/")[1] not in planned]
    known = inventory.snapshots
    for kind in (*_BEHIND, "acceptances"):
        names += [name for name in store.names_before(f"{kind}/", cutoff) if name.split("/")[1] not in known]
    return names


def _remove(store: SnapshotStore, names: list[str], *, dry_run: bool) -> list[str]:
    for name in names:
        if not dry_run:
            store.delete(name)
    return names


def _references(store: SnapshotStore, *, without: set[str]) -> set[str]:
    """Digests that any remaining document mentions, wherever it does: too many are harmless, one too few is a loss."""
    found: set[str] = set()
    for name in store.names(""):
        if name not in without:
            try:
                found.update(_REFERENCE.findall(json.dumps(store.read(name))))
            except NotFoundError:  # removed by somebody else meanwhile, a released lock for example
                continue
    return found
