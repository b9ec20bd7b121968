"""Begins to track the migration of a database, and reads what it changed when it has ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from psycopg import sql

from rollback_provider.components.postgres.access import tables_in
from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.delta import DeltaReader
from rollback_provider.components.postgres.images import TableDelta, load_deltas, save_deltas
from rollback_provider.components.postgres.reversal import TableChange
from rollback_provider.components.postgres.reverse import reverse
from rollback_provider.components.postgres.session import Session, exclusive
from rollback_provider.components.postgres.tables import Table
from rollback_provider.components.postgres.tracking import triggers
from rollback_provider.components.postgres.tracking.changes import LogReader, TableChanges, stored_entries, untold
from rollback_provider.components.postgres.tracking.log import transactions
from rollback_provider.components.postgres.tracking.triggers import Tracked, mark_of
from rollback_provider.components.postgres.view import View, catalog_of, schemas_of
from rollback_provider.core.errors import ConfigurationError, DriftError, MigrationRunningError
from rollback_provider.core.model import ComponentSpec, ComponentState


def begin(session: Session, spec: ComponentSpec, mark: str, whole: Sequence[str]) -> None:
    """Puts the triggers on all tables in scope.

    :param whole: tables of which the writes of all sessions are logged, as ``name`` or ``schema.name``

    Raises PermissionDeniedError, ConfigurationError, MigrationRunningError, BusyError; nothing of ours is left then, unless the session
    itself was lost.
    """
    earlier = mark_of(session)
    if earlier not in {None, mark}:
        raise MigrationRunningError(
            f"Another migration is tracked in this database, that of snapshot {earlier}",
            component=spec.name,
            state="Nothing was changed",
            next_step=f"When it has ended: rollbackctl checkpoint {earlier}",
        )
    tables = tables_in(session, schemas_of(spec))
    triggers.check_trackable(session, tables, spec.name)
    chosen = _named(session, tables, whole, spec.name)
    with exclusive(session, spec.name):
        triggers.remove(session, spec.name)
        try:
            triggers.install(session, tables, chosen, mark, spec.name)
        except BaseException:
            with suppress(Exception):
                triggers.remove(session, spec.name)
            raise


def caught_up(view: View, snapshot: ComponentState) -> ComponentState:
    """The state at the beginning: the snapshot, and what applications wrote since. Raises DriftError."""
    state = view.catch_up(snapshot)
    if state.payload["fingerprint"] != snapshot.payload["fingerprint"]:
        raise DriftError(
            "The schema has changed since the snapshot was taken",
            component=view.spec.name,
            next_step="Take a new snapshot, then migrate",
        )
    row = view.session.execute("select pg_current_snapshot()::text").fetchone()
    assert row is not None  # noqa: S101  a function always returns its row
    parts = {"catchUp": state.payload["deltas"], "deltas": save_deltas([], view.blobs), "own": [], "began": row[0]}
    return state.model_copy(update={"payload": state.payload | parts})


def end(session: Session, mark: str, component: str) -> list[Tracked]:
    """Takes the triggers off; gives what was tracked. Raises ConfigurationError where there is no log of this migration."""
    found = mark_of(session)
    if found != mark:
        raise ConfigurationError(
            f"The log of the migration of snapshot {mark} is not in the database"
            + (f", but that of snapshot {found}" if found else ""),
            component=component,
            state="What the migration changed is not known",
            next_step="Plan without it: what has changed since the snapshot is then listed as ambiguous",
        )
    with exclusive(session, component):
        return triggers.end(session, component)


def changes(view: View, snapshot: ComponentState, started: ComponentState, found: Sequence[Tracked]) -> ComponentState:
    """What the migration changed, from its log.

    :param started: what `caught_up` gave
    :param found: what was tracked
    """
    then, blobs, component = catalog_of(snapshot, view.blobs), view.blobs, view.spec.name
    now = view.catalog(since=then)
    base = Base(snapshot.payload["rows"], started.payload["catchUp"], blobs)
    over = load_deltas(started.payload["catchUp"], blobs)
    reader = LogReader(component, view.session, base, over, started.payload["began"], blobs)
    tracked = {each.oid: each for each in found}
    matched = {change.then.oid: change for change in reverse(then, now).tables}
    reasons = {
        oid: why
        for oid, change in matched.items()
        if (why := untold(view.session, change, tracked.get(oid))) is not None
    }
    read = {
        rows.table.oid: reader.read(rows.table, matched.get(rows.table.oid))
        for rows in base.tables.values()
        if rows.table.oid not in reasons and rows.table.key
    }
    ambiguous = DeltaReader(view.session, view.copier, base, started.payload["xmin"], trackable=then.same_database(now))
    deltas = [each.left for each in read.values() if each.left]
    deltas += ambiguous.read([matched[oid] for oid in reasons], blobs, view.progress)
    entries = [entry for each in read.values() for entry in each.contested]
    return view.state_of(
        now,
        {
            "xmin": started.payload["xmin"],
            "own": transactions(view.session, started.payload["xmin"]),
            "catchUp": save_deltas(_laid_over(read, over), blobs),
            "deltas": save_deltas(deltas, blobs),
            "untold": sorted(reasons),
            "contested": stored_entries(entries, blobs),
            "notes": [
                *_untold_notes(reasons, base),
                *_lost_notes(base, matched, tracked),
                *_silent_note(read, reasons),
            ],
        },
        {"tables changed": len(deltas), "rows changed": sum(delta.changed_rows for delta in deltas)},
    )


def remove(session: Session, mark: str, component: str) -> None:
    """Drops what is left of the tracking of a migration."""
    if mark_of(session) == mark:
        with exclusive(session, component):
            triggers.remove(session, component)


def refuse_tracked(session: Session, component: str) -> None:
    """Raises MigrationRunningError where a migration is being tracked: what it has changed is not known before its log is read."""
    mark = mark_of(session)
    if mark is not None:
        raise MigrationRunningError(
            f"The migration of snapshot {mark} is tracked in this database, and its log has not been read",
            component=component,
            state="Nothing was planned",
            next_step=f"When its sessions have ended: rollbackctl checkpoint {mark}",
        )


def _named(session: Session, tables: dict[int, sql.Identifier], names: Iterable[str], component: str) -> set[int]:
    known = {oid: name.as_string(session).replace('"', "") for oid, name in tables.items()}
    found: set[int] = set()
    for name in names:
        oids = [oid for oid, scope in known.items() if name in {scope, scope.partition(".")[2]}]
        if len(oids) != 1:
            raise ConfigurationError(
                f"There is no table {name}" if not oids else f"There are {len(oids)} tables {name}",
                component=component,
                state="Nothing is tracked; do not migrate yet",
                next_step="Name tables as schema.name",
            )
        found.update(oids)
    return found


def _laid_over(read: dict[int, TableChanges], over: dict[int, TableDelta]) -> Iterable[TableDelta]:
    yield from (delta for oid, delta in over.items() if oid not in read)
    yield from (each.without for each in read.values() if each.without)


def _untold_notes(reasons: dict[int, str], base: Base) -> list[str]:
    return [
        f"{base.tables[oid].table.scope}: {why}, so all that has changed in it since the migration began is ambiguous"
        for oid, why in reasons.items()
        if oid in base.tables
    ]


def _lost_notes(base: Base, matched: dict[int, TableChange], tracked: dict[int, Tracked]) -> list[str]:
    """What applications wrote between the beginning and a drop is in no log, unless that of all sessions was asked for."""
    notes = []
    for rows in base.tables.values():
        table = rows.table
        lost = _lost(table, matched.get(table.oid))
        if lost and not (table.oid in tracked and tracked[table.oid].whole):
            notes.append(
                f"what applications wrote to {lost} between the migration's beginning and the drop went with it"
            )
    return notes


def _lost(then: Table, change: TableChange | None) -> str:
    if change is None:
        return then.scope
    names = [c.name for c in then.stored_columns if change.columns.get(c.number) is None]
    return f"{then.scope} ({', '.join(names)})" if names else ""


def _silent_note(read: dict[int, TableChanges], reasons: dict[int, str]) -> list[str]:
    if reasons or any(each.left for each in read.values()):
        return []
    return [
        "no session that bore the migration's mark has written a row: if the migration writes rows, it ran without the mark"
    ]
