"""What changed since the snapshot, found by transaction ids instead of by reading and hashing everything.

A row that is visible now and was written by a transaction older than the snapshot's horizon is the very tuple the
snapshot saw. The rest are candidates: whole rows are kept, and comparing them by value with the snapshot later weeds
out those that only look new. Deleted rows are the snapshot's keys that are not there any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg import sql

from rollback_provider.components.postgres.blocks import Block
from rollback_provider.components.postgres.copier import Copier, Extract, chunks
from rollback_provider.components.postgres.images import Base, TableDelta
from rollback_provider.components.postgres.reversal import TableChange
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Column, Table
from rollback_provider.core.component import Blobs, Progress
from rollback_provider.core.model import Json

HORIZON = 1_000_000_000
"""Transactions after which xmin is not trusted any more; ids wrap at 2**31."""


def name_of(table: Table) -> sql.Identifier:
    """The table's name, quoted."""
    return sql.Identifier(table.schema, table.name)


def columns_of(columns: Iterable[Column], *, alias: str | None = None) -> sql.Composed:
    """Column names, quoted and separated by commas."""
    return sql.SQL(", ").join(
        sql.Identifier(alias, column.name) if alias else sql.Identifier(column.name) for column in columns
    )


@dataclass(frozen=True)
class Horizon:
    """A moment, by transaction ids.

    :param xmin: every older transaction had ended by then
    :param own: the migration's own transactions where the moment lies before or inside them: their rows are older than
        the moment all the same
    """

    xmin: int
    own: tuple[int, ...] = ()

    @classmethod
    def of(cls, payload: Json) -> Horizon:
        """The moment of a checkpoint."""
        own = payload["own"]
        return cls(payload["xmin"], () if own is None else tuple(own) if isinstance(own, list) else (own,))


def since(horizon: Horizon) -> sql.Composed:
    """Condition on rows: written after the horizon, or possibly so."""
    newer = sql.SQL("age(xmin) <= age({}::xid)").format(sql.Literal(str(horizon.xmin % 2**32)))
    if not horizon.own:
        return newer
    own = [str(xid % 2**32) for xid in horizon.own]
    return sql.SQL("({} and xmin <> all ({}::text[]::xid[]))").format(newer, sql.Literal(own))


def current_xmin(session: Session) -> int:
    """The horizon of the current transaction's snapshot: every older transaction is seen by it or never will be."""
    row = session.execute("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint").fetchone()
    assert row is not None  # noqa: S101  a function always returns its row
    return int(row[0])


def order_of(change: TableChange) -> tuple[Column, ...] | None:
    """Columns of the table now, the snapshot's key first; None where rows cannot be matched by the text of that key.

    That is so where there is no key, where a part of it is gone or has changed to a type that writes values otherwise, and where one
    value can be written in several ways (1.0 and 1.00): text that differs would pass for another row.
    """
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
    :param xmin: horizon of the state that `base` is
    :param trackable: false where transaction ids of now and then cannot be compared (another cluster)
    """

    def __init__(self, session: Session, copier: Copier, base: Base, xmin: int, *, trackable: bool) -> None:
        self._session = session
        self._copier = copier
        self._base = base
        self._xmin = xmin
        self._trackable = trackable and current_xmin(session) - xmin < HORIZON

    def read(self, changes: Sequence[TableChange], blobs: Blobs, progress: Progress) -> list[TableDelta]:
        """Deltas of those tables that changed."""
        return [delta for change in changes if (delta := self._table(change, blobs, progress))]

    def written_since(self, table: Table) -> tuple[int, int]:
        """Rows of a table now, and how many of them may be newer than the base."""
        query = sql.SQL("select count(*), count(*) filter (where {}) from only {}").format(
            since(Horizon(self._xmin)), name_of(table)
        )
        row = self._session.execute(query).fetchone()
        assert row is not None  # noqa: S101  an aggregate always returns its row
        return int(row[0]), int(row[1])

    def _table(self, change: TableChange, blobs: Blobs, progress: Progress) -> TableDelta | None:
        rewritten = not self._trackable or change.by_name or change.now.filenode != change.then.filenode
        rows, candidates = self.written_since(change.now)
        before, _ = self._base.count(change.then.oid)
        if not rewritten and not candidates and rows == before:
            return None
        keyed = order_of(change)
        rewritten = rewritten or keyed is None
        order = keyed or tuple(column for column in change.now.columns if not column.generated)
        select = sql.SQL("select {} from only {}").format(columns_of(order), name_of(change.now))
        changed = self._copy(select, change.now, None if rewritten else candidates, rows, blobs, progress)
        deleted = self._deleted(change, keyed, blobs, progress) if keyed and before else ()
        return TableDelta(
            then=change.then.oid,
            now=change.now,
            order=tuple(column.number for column in order),
            changed=changed,
            deleted=deleted,
            rows=rows,
            rewritten=rewritten,
            keyed=keyed is not None,
        )

    def _copy(
        self, select: sql.Composed, table: Table, candidates: int | None, rows: int, blobs: Blobs, progress: Progress
    ) -> tuple[Block, ...]:
        """Copies the rows since the base; all of them where `candidates` is None."""
        pages, size = heap_size(self._session, table)
        conditions: list[sql.Composable]
        if candidates is None:
            conditions = [sql.SQL(piece) for piece in chunks(pages)]
        else:
            conditions = [since(Horizon(self._xmin))]
            size = size * candidates // max(rows, 1)
        extracts = [
            Extract(
                table.scope,
                sql.SQL("{} where {}").format(select, condition).as_string(self._session),
                size // len(conditions),
            )
            for condition in conditions
        ]
        copied = self._copier.run(extracts, blobs, progress, f"rows changed in {table.scope}")
        return tuple(copied[table.scope].blocks)

    def _deleted(
        self, change: TableChange, order: tuple[Column, ...], blobs: Blobs, progress: Progress
    ) -> tuple[Block, ...]:
        """Keys of the base that are not in the table now: an anti-join over a temporary table of the keys."""
        key = order[: len(change.then.key)]
        stage = sql.Identifier("pg_temp", "rollback_keys")
        names = [sql.Identifier(f"k{i}") for i in range(len(key))]
        declared = sql.SQL(", ").join(
            sql.SQL("{} {}").format(name, sql.SQL(column.type)) for name, column in zip(names, key, strict=True)
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


def whole_table(session: Session, table: Table, found: Table) -> list[Extract]:
    """Extracts of all rows of `found`, as lines of ``table.stored_columns``, under the label of the table's oid."""
    pages, size = heap_size(session, found)
    select = sql.SQL("select {} from only {}").format(columns_of(table.stored_columns), name_of(found))
    pieces = [sql.SQL("{} where {}").format(select, sql.SQL(piece)) for piece in chunks(pages)]
    return [Extract(str(table.oid), piece.as_string(session), size // len(pieces)) for piece in pieces]


def heap_size(session: Session, table: Table) -> tuple[int, int]:
    """Pages and bytes of a table's heap, with its large values."""
    row = session.execute(
        "select pg_relation_size(%(oid)s) / current_setting('block_size')::int, pg_table_size(%(oid)s)",
        {"oid": table.oid},
    ).fetchone()
    assert row is not None  # noqa: S101  a function always returns its row
    return int(row[0]), int(row[1])
