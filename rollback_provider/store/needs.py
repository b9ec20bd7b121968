"""What a snapshot is needed for, whatever the retention rules say."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rollback_provider.core.errors import NotFoundError
from rollback_provider.core.journal import Journal, is_open
from rollback_provider.core.model import Snapshot, utcnow
from rollback_provider.core.rehearsal.certificate import PREFIX, Certificate
from rollback_provider.core.repository import Repository, Store, parse
from rollback_provider.core.verification import CheckStatus, Verification
from rollback_provider.store.pins import pin_of


def needs_of_snapshot(store: Store, snapshot: Snapshot, rollback_ids: Iterable[str], cutoff: datetime) -> list[str]:
    """Reasons to keep a snapshot: a pin, a certificate, its age, its rollbacks. Empty where there are none.

    :param rollback_ids: all rollbacks planned from it
    :param cutoff: nothing younger than this may go
    """
    reasons = []
    if pin := pin_of(store, snapshot.id):
        reasons.append(f"pinned by {pin.actor}")
    reasons += _certified(store, snapshot.id)
    if snapshot.created > cutoff:
        reasons.append("within the grace period")
    for rollback_id in rollback_ids:
        reasons += needs_of_rollback(store, rollback_id, cutoff)
    return reasons


def needs_of_rollback(store: Store, rollback_id: str, cutoff: datetime) -> list[str]:
    """Reasons to keep a rollback: it has begun and is not closed, or something happened to it after `cutoff`."""
    journal = Journal(store, rollback_id)
    is_closed = journal.abandoned or _is_verified(journal)
    if is_open(store, rollback_id) or (journal.started and not is_closed):
        return [f"rollback {rollback_id} has begun and is neither verified nor abandoned"]
    latest = journal.events[-1].time if journal.events else _planned(store, rollback_id)
    return [f"rollback {rollback_id} is within the grace period"] if latest and latest > cutoff else []


def _certified(store: Store, snapshot_id: str) -> list[str]:
    found = [parse(Certificate, store.read(name), name) for name in store.names(f"{PREFIX}{snapshot_id}/")]
    return [
        f"certificate {each.id} is valid until {each.expires:%Y-%m-%d %H:%M} UTC"
        for each in found
        if each.expires > utcnow()
    ]


def _is_verified(journal: Journal) -> bool:
    results = [Verification.model_validate(event.data).status for event in journal.events if event.kind == "verified"]
    return bool(results) and results[-1] in {CheckStatus.PASSED, CheckStatus.WARNING}


def _planned(store: Store, rollback_id: str) -> datetime | None:
    try:
        return Repository(store).plan(rollback_id).created
    except NotFoundError:  # removed meanwhile
        return None
