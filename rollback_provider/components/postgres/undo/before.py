"""What is kept right before a rollback: no copy of the tables, but what has changed in them since the snapshot."""

from __future__ import annotations

from collections.abc import Sequence

from rollback_provider.components.postgres.actions import flat
from rollback_provider.components.postgres.copier import Copier
from rollback_provider.components.postgres.delta import DeltaReader, whole, written_alike
from rollback_provider.components.postgres.horizon import current_xmin
from rollback_provider.components.postgres.images import TableDelta, save_deltas
from rollback_provider.components.postgres.reversal import Reversal, TableChange
from rollback_provider.components.postgres.session import Session
from rollback_provider.core.base import Json
from rollback_provider.core.component import Blobs, Progress
from rollback_provider.core.model import ComponentPlan


def touched(reversal: Reversal, plan: ComponentPlan) -> list[TableChange]:
    """Tables of which the plan changes rows, or columns that hold values."""
    written = {
        action["table"]["oid"]
        for step in plan.steps
        for action in flat(step.payload["actions"])
        if action["do"] in {"merge", "refill"}
    }
    return [
        change
        for change in reversal.tables
        if change.then.oid in written or change.added or change.retyped or None in change.columns.values()
    ]


def keep(
    session: Session,
    copier: Copier,
    reader: DeltaReader,
    changes: Sequence[TableChange],
    blobs: Blobs,
    progress: Progress,
) -> Json:
    """Rows that have changed since the snapshot; whole tables where columns have since been converted without a trace in the rows."""
    deltas = {delta.then: delta for delta in reader.read(changes, blobs, progress)}
    for change in changes:
        found = deltas.get(change.then.oid)
        if not (found and found.rewritten) and not _reads_alike(change):
            deltas[change.then.oid] = _whole(session, copier, change, blobs, progress)
    return {
        "deltas": save_deltas(deltas.values(), blobs),
        "missing": _missing(session, [change.now.oid for change in changes]),
    }


def _reads_alike(change: TableChange) -> bool:
    """Whether rows that were not written since read as they did."""
    if change.relabelled:
        return False
    pairs = [(c, change.now.column(change.columns[c.number] or 0)) for c in change.then.columns]
    return all(now is None or then.type == now.type or written_alike(then.type, now.type) for then, now in pairs)


def _whole(session: Session, copier: Copier, change: TableChange, blobs: Blobs, progress: Progress) -> TableDelta:
    table = change.now
    extracts = whole(session, table, table.scope, table.stored_columns, len(table.key))
    copied = copier.run(extracts, blobs, progress, f"rows of {table.scope}")[table.scope]
    return TableDelta(
        then=change.then.oid,
        now=table,
        order=tuple(column.number for column in table.stored_columns),
        changed=tuple(copied.blocks),
        deleted=(),
        rows=copied.rows,
        rewritten=True,
        keyed=True,
        xmin=current_xmin(session),
    )


def _missing(session: Session, tables: Sequence[int]) -> Json:
    """Values, by table and attnum, that columns have in rows which were not written since the column was added."""
    found: dict[str, dict[str, str | None]] = {}
    for table, number, value in session.execute(
        "select attrelid, attnum, (attmissingval::text::text[])[1] from pg_attribute where attrelid = any(%s::oid[]) and atthasmissing",
        [list(tables)],
    ).fetchall():
        found.setdefault(str(table), {})[str(number)] = value
    return found
