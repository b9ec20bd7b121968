"""Takes the rows of a snapshot: whole tables, or what has changed in them since an earlier snapshot copied them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.catalog import Catalog
from rollback_provider.components.postgres.copier import Copier
from rollback_provider.components.postgres.delta import DeltaReader, is_traceable, order_of, whole
from rollback_provider.components.postgres.horizon import current_xmin
from rollback_provider.components.postgres.images import TableDelta, TableRows
from rollback_provider.components.postgres.reversal import TableChange
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Table
from rollback_provider.components.postgres.trace import Trace
from rollback_provider.core.component import Blobs, Progress

MOST_CHANGED = 0.1
"""Share of a table's rows that may have changed for its earlier copy to be used again: a delta is read beside it ever after."""
MOST_ROWS = 100_000
"""Changed rows of one table, likewise: they are held in memory when the snapshot is used."""


_TYPES = frozenset({"enum", "domain", "composite type", "range type", "extension"})
_NAMES = re.compile(r"reg[a-z]+|aclitem|money")
"""Types whose values are written with what the catalog or a setting says at that moment: a rename changes every row's text."""


@dataclass(frozen=True)
class EarlierCopy:
    """Rows as earlier snapshots of the same database have copied them.

    :param same_types: whether the user's types are what they were: a label that was renamed changes the text of rows nobody has written
    """

    base: Base
    same_types: bool


@dataclass(frozen=True)
class Taken:
    """The rows of a snapshot.

    :param rows: tables as they were copied, now or earlier
    :param deltas: what has changed since in those that were copied earlier
    :param reused: digests of the blobs of earlier copies
    :param count: number of rows
    """

    rows: tuple[TableRows, ...]
    deltas: tuple[TableDelta, ...]
    reused: tuple[str, ...]
    count: int


def take_rows(
    session: Session,
    copier: Copier,
    tables: Sequence[Table],
    earlier: EarlierCopy | None,
    blobs: Blobs,
    progress: Progress,
    what: str,
) -> Taken:
    """Takes the rows of these tables in the current transaction's view.

    :param what: for the progress
    """
    xmin = current_xmin(session)
    traces = {table.oid: trace for table in tables if earlier and (trace := _trace(copier, earlier, table, xmin))}
    extracts = [
        extract
        for table in tables
        if table.oid not in traces
        for extract in whole(session, table, str(table.oid), table.stored_columns, len(table.key))
    ]
    copied = copier.run(extracts, blobs, progress, what)
    rows, deltas = [], []
    for table in tables:
        if earlier is None or table.oid not in traces:
            rows.append(TableRows(table, tuple(copied[str(table.oid)].blocks), xmin))
            continue
        trace = traces[table.oid]
        rows.append(replace(earlier.base.tables[table.oid], table=table))
        if trace.written or trace.missing:
            change = _same(table)
            reader = DeltaReader(session, copier, earlier.base, None, trackable=True)
            deltas.append(reader.delta(change, order_of(change), trace, blobs, progress))
    reused = [block for table in rows if table.table.oid in traces for block in table.blocks]
    return Taken(
        rows=tuple(rows),
        deltas=tuple(deltas),
        reused=tuple(digest for block in reused for digest in (block.digest, block.keys) if digest),
        count=sum(traces[t.table.oid].rows if t.table.oid in traces else t.rows for t in rows),
    )


def types_of(catalog: Catalog) -> set[tuple[object, ...]]:
    """What the text of values of the user's types depends on."""
    return {
        (entry.ref, entry.name, json.dumps(entry.facts, sort_keys=True), entry.definition)
        for entry in catalog.entries
        if entry.kind in _TYPES
    }


def _trace(copier: Copier, earlier: EarlierCopy, table: Table, xmin: int) -> Trace | None:
    """What has become of the earlier copy of a table; None where it must be copied again."""
    base = earlier.base
    if table.oid not in base.tables or not is_traceable(base, table.oid, table, xmin):
        return None
    if not reads_alike(base.tables[table.oid].table, table, same_types=earlier.same_types):
        return None
    trace = Trace(copier, base, table.oid, table, table.key_columns)
    limit = min(MOST_ROWS, MOST_CHANGED * trace.rows) if order_of(_same(table)) else 0
    return trace if trace.written + trace.missing <= limit else None


def reads_alike(then: Table, now: Table, *, same_types: bool) -> bool:
    """Whether rows that nobody has written have the same lines, where both tables are asked for their stored columns in the same order."""
    types = [(column.number, column.type) for column in now.stored_columns]
    return types == [(column.number, column.type) for column in then.stored_columns] and all(
        not _NAMES.match(name) and (same_types or "." not in name) for _, name in types
    )


def _same(table: Table) -> TableChange:
    return TableChange(table, table, {column.number: column.number for column in table.columns})
