"""What a transaction of a rollback replaces, kept in its note: row by row, under the locks under which it is replaced.

So whoever undoes the rollback knows exactly what it changed, whatever applications wrote before, meanwhile and since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Literal, Self

from psycopg import sql

from rollback_provider.components.postgres.blocks import Block
from rollback_provider.components.postgres.horizon import since
from rollback_provider.components.postgres.lines import blocks_of
from rollback_provider.components.postgres.merge import Merge
from rollback_provider.components.postgres.salvage import Salvage
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import columns_of, name_of
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobWriter

Op = Literal["update", "delete", "insert", "refill"]


class Replaced:
    """The changes of one transaction, in order.

    Each has an `op`, the oid of its table, the attnums of its columns, and lines in blocks:

    * ``update`` and ``refill``: key, values before, values after; ``delete`` and ``insert``: key and values; ``reload``: none.
      Table and columns are those of the snapshot; values of columns `beside` them, which the table has now, come last.
    * ``rows``: whole rows of a table that DDL is about to drop or to change, or those of them that were written since the plan was made.
      Table and columns are those there were before the DDL.

    :param own: transaction ids of subtransactions, which rows bear in the place of the transaction's own
    """

    def __init__(self, blobs: BlobWriter) -> None:
        self._blobs = blobs
        self.changes: list[Json] = []
        self.own: set[int] = set()

    def add(self, op: Op | Literal["reload"], merge: Merge, lines: Iterable[bytes]) -> None:
        """Adds what a statement has returned."""
        blocks = blocks_of(lines, self._blobs)
        if blocks or op == "reload":
            beside = [column.number for column in merge.beside]
            self._add(op, merge.table.oid, [column.number for column in merge.columns], blocks, beside)

    def add_rows(self, session: Session, salvage: Salvage) -> None:
        """Adds the rows of a table, which is locked, once: all of them where it goes."""
        table = salvage.table
        if any(change["op"] == "rows" and change["table"] == table.oid for change in self.changes):
            return
        where = sql.SQL("true") if salvage.whole or salvage.since is None else since(salvage.since)
        query = sql.SQL("copy (select {} from only {} where {}) to stdout").format(
            columns_of(table.stored_columns), name_of(table), where
        )
        with session.cursor().copy(query) as copy:
            blocks = blocks_of((bytes(row)[:-1] for row in copy), self._blobs)
        self._add("rows", table.oid, [column.number for column in table.stored_columns], blocks)

    def copy(self) -> Self:
        """As it is now."""
        other = type(self)(self._blobs)
        other.changes, other.own = list(self.changes), set(self.own)
        return other

    def to_json(self) -> Json:
        """For the note."""
        return {"replaced": self.changes, "own": sorted(self.own)}

    def _add(
        self, op: str, table: int, columns: Sequence[int], blocks: Sequence[Block], beside: Sequence[int] = ()
    ) -> None:
        stored = [asdict(block) for block in blocks]
        self.changes.append({"op": op, "table": table, "columns": columns, "beside": beside, "blocks": stored})
