"""What stays and what goes: prune, pin, unpin."""

from __future__ import annotations

from rollback_provider import store
from rollback_provider.cli.session import Session
from rollback_provider.core.base import Json


def prune(session: Session) -> int:
    """Removes what no rule keeps."""
    from rollback_provider.core.words import plural
    from rollback_provider.report.words import size

    arguments = session.arguments
    report = store.prune(
        session.store,
        keep_last=arguments.keep_last,
        keep_within=arguments.keep_within,
        keep_daily=arguments.keep_daily,
        keep_weekly=arguments.keep_weekly,
        dry_run=arguments.dry_run,
    )
    verb = "would be removed" if report.dry_run else "removed"
    session.emit(
        report.to_json(),
        *(f"kept      {kept.id}: {'; '.join(kept.reasons)}" for kept in report.kept),
        *(f"{verb}   {name}" for name in report.snapshots),
        f"{plural(len(report.snapshots), 'snapshot')} and {plural(report.blobs, 'blob')} ({size(report.bytes)}) {verb}",
    )
    return 0


def pin(session: Session) -> int:
    """Pins a snapshot."""
    snapshot_id = session.arguments.snapshot_id
    store.pin(session.store, snapshot_id, actor=session.actor, reason=session.arguments.reason)
    session.emit(_pinned(snapshot_id, pinned=True), f"Snapshot {snapshot_id} is pinned")
    return 0


def unpin(session: Session) -> int:
    """Removes a pin."""
    snapshot_id = session.repository.snapshot(session.arguments.snapshot_id).id
    store.unpin(session.store, snapshot_id)
    session.emit(_pinned(snapshot_id, pinned=False), f"Snapshot {snapshot_id} is not pinned")
    return 0


def _pinned(snapshot_id: str, *, pinned: bool) -> Json:
    return {"snapshot_id": snapshot_id, "pinned": pinned}
