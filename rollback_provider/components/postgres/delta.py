"""What changed since the snapshot, found by transaction ids instead of by reading and hashing everything.

A row that is visible now and was written by a transaction older than the snapshot's horizon is the very tuple the
snapshot saw. The rest are candidates: whole rows are kept, and comparing them by value with the snapshot later weeds
out those that only look new. Deleted rows are the snapshot's keys that are not there any more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from psycopg import sql

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.blocks import Block, Extract
from rollback_provider.components.postgres.copier import Copied, Copier
from rollback_provider.components.postgres.horizon import REACH, Horizon, current_xmin
from rollback_provider.components.postgres.images import TableDelta
from rollback_provider.components.postgres.lines import IN_MEMORY, contents, read_lines
from rollback_provider.components.postgres.reversal import TableChange
from rollback_provider.components.postgres.rows import keys_of
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Column, Table, columns_of, name_of
from rollback_provider.components.postgres.trace import Trace, ranges_of
from rollback_provider.core.component import Blobs, Progress


def order_of(change: TableChange) -> tuple[Column, ...] | None:
    """Columns of the table now, the snapshot's key first; None where rows cannot be matched by the text of that key.

    That is so where there is no key, where a part of it is gone or has changed to a type that writes values otherwise, and where one
    value can be written in several ways (1.0 and 1.00) or has been renamed: text that differs would pass for another row.
    """
    if change.relabelled.intersection(change.then.key):
        return None
    by_number = {column.number: column for column in change.now.columns}
    key = [by_number.get(change.columns.get(column.number) or 0) for column in change.then.key_columns]
    pairs = list(zip(change.then.key_columns, key, strict=True))
    if not pairs or not all(now and written_alike(then.type, now.type) for then, now in pairs):
        return None
    found = [column for column in key if column]
    return (*found, *(c for c in change.now.columns if c not in found and not c.generated))


_INTEGERS = frozenset({"smallint", "integer", "bigint"})
_STRINGS = frozenset({"text", "character varying"})
_SEVERAL_WAYS = frozenset({"numeric", "real", "double precision", "interval", "citext", "money", "json", "jsonb"})
"""Types of which two values can be equal and not look the same."""


def written_alike(then: str, now: str) -> bool:
    """Whether equal values of two types of a key column have the same text, and only they."""
    base = [re.sub(r"\(.*?\)", "", name).strip() for name in (then, now)]
    for family in (_INTEGERS, _STRINGS):
        if set(base) <= family:
            return True
    return then == now and then.rpartition(".")[2] not in _SEVERAL_WAYS


class DeltaReader:
    """Reads deltas in one transaction.

    :param base: the rows to compare with
    :param xmin: horizon of the state that `base` is; None where it is the rows as they were copied, each table at its own moment
    :param trackable: false where transaction ids of now and then cannot be compared (another cluster)
    """

    def __init__(self, session: Session, copier: Copier, base: Base, xmin: int | None, *, trackable: bool) -> None:
        self._session = session
        self._copier = copier
        self._base = base
        self._since = Horizon(xmin) if xmin is not None else None
        self._now = current_xmin(session)
        self._trackable = trackable

    def read(self, changes: Sequence[TableChange], blobs: Blobs, progress: Progress) -> list[TableDelta]:
        """Deltas of those tables that changed, as far as the base holds their rows."""
        known = (change for change in changes if change.then.oid in self._base.tables)
        return [delta for change in known if (delta := self._table(change, blobs, progress))]

    def _table(self, change: TableChange, blobs: Blobs, progress: Progress) -> TableDelta | None:
        order = order_of(change)
        trace = None
        if self._trackable and not change.by_name and is_traceable(self._base, change.then.oid, change.now, self._now):
            key = (order or ())[: len(change.then.key)]
            trace = Trace(self._copier, self._base, change.then.oid, change.now, key, self._since)
            if not trace.fresh and trace.rows == self._base.rows(change.then.oid):
                return None
        return self.delta(change, order, trace if order else None, blobs, progress)

    def delta(
        self,
        change: TableChange,
        keyed: tuple[Column, ...] | None,
        trace: Trace | None,
        blobs: Blobs,
        progress: Progress,
    ) -> TableDelta:
        """What changed in one table.

        :param keyed: its columns, the key first, as :func:`order_of` gives them
        :param trace: with none all rows are copied
        """
        order = keyed or tuple(column for column in change.now.columns if not column.generated)
        key = len(change.then.key) if keyed else 0
        extracts = self._extracts(change.now, order, key, trace)
        found = self._copier.run(extracts, blobs, progress, f"rows changed in {change.now.scope}")
        copied = found.get(change.now.scope, Copied())
        deleted: tuple[Block, ...] = ()
        if keyed and self._base.rows(change.then.oid):
            deleted = self._deleted(change, keyed[:key], trace, copied, blobs, progress)
        return TableDelta(
            then=change.then.oid,
            now=change.now,
            order=tuple(column.number for column in order),
            changed=tuple(copied.blocks),
            deleted=deleted,
            rows=trace.rows if trace else copied.rows,
            rewritten=trace is None,
            keyed=keyed is not None,
            xmin=self._now,
        )

    def _extracts(self, table: Table, order: tuple[Column, ...], key: int, trace: Trace | None) -> list[Extract]:
        if trace is None:
            return whole(self._session, table, table.scope, order, key)
        _, size = heap_size(self._session, table)
        conditions = trace.fresh_conditions()
        each = size * trace.fresh // max(trace.rows * len(conditions), 1)
        select = sql.SQL("select {} from only {}").format(columns_of(order), name_of(table))
        queries = [sql.SQL("{} where {}").format(select, condition) for condition in conditions]
        return [Extract(table.scope, query.as_string(self._session), each) for query in queries]

    def _deleted(
        self,
        change: TableChange,
        key: tuple[Column, ...],
        trace: Trace | None,
        copied: Copied,
        blobs: Blobs,
        progress: Progress,
    ) -> tuple[Block, ...]:
        """Keys of the base that are not in the table now."""
        if trace is None or trace.written > IN_MEMORY:
            return self._deleted_of_all(change, key, blobs, progress)
        fresh = {k for lines in read_lines(copied.blocks, blobs) for k in keys_of(lines, len(key))}
        written = trace.written_keys(fresh)
        blocks = []
        for content in contents(gone for keys in trace.gone(written) for gone in keys):
            ref = blobs.put_blob(content)
            blocks.append(Block(ref.digest, ref.size, content.count(b"\n"), ""))
        return tuple(blocks)

    def _deleted_of_all(
        self, change: TableChange, key: tuple[Column, ...], blobs: Blobs, progress: Progress
    ) -> tuple[Block, ...]:
        """The same where old rows cannot be told from new ones: an anti-join over a temporary table of all keys."""
        stage = sql.Identifier("pg_temp", "rollback_keys")
        names = [sql.Identifier(f"k{i}") for i in range(len(key))]
        # In the snapshot's types: a key that the migration has shortened would not fit into its new one.
        declared = sql.SQL(", ").join(
            sql.SQL("{} {}").format(name, sql.SQL(column.type))
            for name, column in zip(names, change.then.key_columns, strict=True)
        )
        self._session.execute(sql.SQL("drop table if exists {}").format(stage))
        self._session.execute(sql.SQL("create temporary table rollback_keys ({})").format(declared))
        with self._session.cursor().copy(sql.SQL("copy {} from stdin").format(stage)) as copy:
            for keys in self._base.keys(change.then.oid):
                if keys:
                    copy.write(b"\n".join(keys) + b"\n")
        self._session.execute(sql.SQL("analyze {}").format(stage))
        same = sql.SQL(" and ").join(
            sql.SQL("t.{} = s.{}").format(sql.Identifier(column.name), name)
            for name, column in zip(names, key, strict=True)
        )
        query = sql.SQL("select s.* from {} s where not exists (select from only {} t where {})").format(
            stage, name_of(change.now), same
        )
        extract = Extract(change.now.scope, query.as_string(self._session), 0)
        copied = self._copier.run([extract], blobs, progress, f"rows deleted from {change.now.scope}")
        self._session.execute(sql.SQL("drop table {}").format(stage))
        return tuple(copied[change.now.scope].blocks)


def is_traceable(base: Base, oid: int, now: Table, xmin: int) -> bool:
    """Whether a table's rows are where they were when the base was copied, unless somebody has written them.

    :param xmin: the horizon now
    """
    origin = base.origin(oid)
    return origin.xmin is not None and now.filenode == origin.filenode and xmin - origin.xmin < REACH


def whole(session: Session, table: Table, label: str, columns: Sequence[Column], key: int) -> list[Extract]:
    """Extracts of all rows of a table, range by range; the first `key` of the columns make its key."""
    pages, size = heap_size(session, table)
    select = sql.SQL("select {} from only {}").format(columns_of(columns), name_of(table))
    found = ranges_of(pages)
    return [
        Extract(
            label,
            sql.SQL("{} where {}").format(select, each.condition).as_string(session),
            size // len(found),
            each.start,
            key if key < len(columns) else 0,
        )
        for each in found
    ]


def heap_size(session: Session, table: Table) -> tuple[int, int]:
    """Pages and bytes of a table's heap, with its large values."""
    row = session.execute(
        "select pg_relation_size(%(oid)s) / current_setting('block_size')::int, pg_table_size(%(oid)s)",
        {"oid": table.oid},
    ).fetchone()
    assert row is not None  # noqa: S101  a function always returns its row
    return int(row[0]), int(row[1])
