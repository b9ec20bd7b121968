"""Who has written rows last, as far as their transaction ids tell: the rollback, or somebody before the moment it left nothing open of.

Up to that moment, the checkpoint's or, without one, the plan's, every change since the snapshot was either planned to go back or listed.
So a row that was written before it, and that differs, is nobody's but the migration's, however much it looks like an application's.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from psycopg import sql

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.copier import Copier
from rollback_provider.components.postgres.horizon import REACH, Horizon, current_xmin, since
from rollback_provider.components.postgres.images import load_deltas
from rollback_provider.components.postgres.lines import IN_MEMORY, read_lines
from rollback_provider.components.postgres.tables import Table, columns_of, name_of
from rollback_provider.components.postgres.trace import Trace
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobReader


@dataclass(frozen=True)
class Settled:
    """Up to when the plan dealt with all that was written, and in which tables.

    :param until: that moment
    :param by_checkpoint: whether it is that of a checkpoint
    :param tables: by oid in the snapshot
    :param deltas: digest of what had changed until then
    """

    until: Horizon
    by_checkpoint: bool
    tables: frozenset[int]
    deltas: str

    @classmethod
    def of(cls, payload: Json) -> Settled:
        """From what `to_json` gave."""
        return cls(
            Horizon.of(payload["until"]), payload["by_checkpoint"], frozenset(payload["tables"]), payload["deltas"]
        )

    def to_json(self) -> Json:
        """As plain JSON."""
        return {
            "until": self.until.to_json(),
            "by_checkpoint": self.by_checkpoint,
            "tables": sorted(self.tables),
            "deltas": self.deltas,
        }

    @property
    def when(self) -> str:
        """In words."""
        return "before the checkpoint" if self.by_checkpoint else "before the rollback was planned"


@dataclass(frozen=True)
class Writers:
    """Keys of one table's rows by who wrote them last; a row of which that is not known is in none.

    :param settled: somebody, before the moment up to which the plan dealt with all
    :param deleted: keys of rows that were deleted before it, and may be there again
    :param own: the rollback, when it brought rows back
    :param when: what `settled` and `deleted` mean, in words
    """

    settled: frozenset[bytes] = frozenset()
    deleted: frozenset[bytes] = frozenset()
    own: frozenset[bytes] = frozenset()
    when: str = ""


class WriterReader:
    """Reads the transaction ids of rows in one transaction.

    :param settled: None where it is not known
    """

    def __init__(self, copier: Copier, base: Base, settled: Settled | None, blobs: BlobReader) -> None:
        self._copier = copier
        self._session = copier.session
        self._base = base
        self._settled = settled
        self._blobs = blobs

    def read(self, table: Table, found: Table, own: Collection[int]) -> Writers:
        """The writers of rows that were written since they were copied.

        :param own: transactions in which the rollback brought rows of this table back
        """
        until, copied = self._until(table), self._base.origin(table.oid).xmin
        if copied is None or not table.key or table.oid != found.oid:
            return Writers()
        mine = f"{{{','.join(str(xid % 2**32) for xid in own)}}}"
        of_own = sql.SQL("xmin = any ({}::xid[])").format(sql.Literal(mine))
        if self._settled is None or until is None:
            return Writers(own=self._keys(table, found, of_own))
        before = sql.SQL("{} and not {}").format(since(Horizon(copied)), since(until))
        return Writers(
            settled=self._keys(table, found, before),
            deleted=self._deleted(self._settled, table.oid),
            own=self._keys(table, found, of_own),
            when=self._settled.when,
        )

    def settled_rows(self, table: Table, found: Table) -> str:
        """Rows of a table without a key that were written before that moment, in words; empty where there are none."""
        until = self._until(table)
        if self._settled is None or until is None:
            return ""
        trace = Trace(self._copier, self._base, table.oid, found, (), until)
        left = trace.written - trace.fresh
        return f"{left:,} rows were written {self._settled.when}, and not taken back" if left else ""

    def _until(self, table: Table) -> Horizon | None:
        if self._settled is None or table.oid not in self._settled.tables:
            return None
        until = self._settled.until
        return until if current_xmin(self._session) - until.xmin < REACH else None

    def _keys(self, table: Table, found: Table, condition: sql.Composed) -> frozenset[bytes]:
        """Keys of rows; none where they are too many to hold."""
        query = sql.SQL("copy (select {} from only {} where {} limit {}) to stdout").format(
            columns_of(table.key_columns), name_of(found), condition, sql.Literal(IN_MEMORY + 1)
        )
        with self._session.cursor().copy(query) as copy:
            keys = frozenset(bytes(line)[:-1] for line in copy)
        return keys if len(keys) <= IN_MEMORY else frozenset()

    def _deleted(self, settled: Settled, oid: int) -> frozenset[bytes]:
        delta = load_deltas(settled.deltas, self._blobs).get(oid)
        if delta is None or not delta.keyed:
            return frozenset()
        return frozenset(key for keys in read_lines(delta.deleted, self._blobs) for key in keys)
