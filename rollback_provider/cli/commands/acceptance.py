"""What migrations have soft-dropped: dropped, accept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rollback_provider.cli.commands.views import make_table
from rollback_provider.cli.session import Session
from rollback_provider.cli.specification import read_specification
from rollback_provider.core import acceptance
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.model import SoftDrop, utcnow

if TYPE_CHECKING:
    from rich.table import Table


def accept(session: Session) -> int:
    """Accepts one migration, or all that are old enough."""
    arguments = session.arguments
    if (arguments.snapshot_id is None) == (arguments.older_than is None):
        raise ConfigurationError("Give a snapshot's id or --older-than TIME", next_step="See rollbackctl accept --help")
    options = {"actor": session.actor, "dry_run": arguments.dry_run, "watch": session.interrupt.watch}
    if arguments.older_than is None:
        report = acceptance.accept(
            session.store, arguments.snapshot_id, session.connections, session.progress, **options
        )
    else:
        cutoff = utcnow() - arguments.older_than
        report = acceptance.accept_older(session.store, cutoff, session.connections, session.progress, **options)
    verb = "would be dropped" if report.dry_run else "dropped"
    session.emit(
        report.to_json(),
        *(f"{drop.component}: {drop.kind} {drop.scope} {verb} for good" for drop in report.dropped),
        *(f"{'would be accepted' if report.dry_run else 'accepted'}: {snapshot}" for snapshot in report.snapshots),
        *([] if report.dropped else [f"Nothing {verb} for good"]),
    )
    return 0


def dropped(session: Session) -> int:
    """Lists what is soft-dropped."""
    file = session.arguments.components
    specs = read_specification(file)[0] if file else acceptance.systems_of(session.store)
    found = acceptance.list_soft_drops(specs, session.connections, watch=session.interrupt.watch)
    session.emit(
        {"dropped": [drop.to_json() for drop in found]}, _table(found) if found else "Nothing is soft-dropped."
    )
    return 0


def _table(found: Iterable[SoftDrop]) -> Table:
    from rollback_provider.report.words import duration, size

    rows = [
        (
            drop.component,
            f"{drop.kind} {drop.scope}",
            duration(utcnow() - drop.time),
            "" if drop.size is None else size(drop.size),
            drop.snapshot_id or "",
        )
        for drop in found
    ]
    return make_table("Soft-dropped", ("Component", "What", "Age", "Size", "Snapshot"), rows)
