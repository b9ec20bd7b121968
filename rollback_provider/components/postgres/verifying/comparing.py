"""Finds the rows of a table that differ from the base: by their content, or by their place where that proves the same.

A row that was not written since it was copied, in a heap that was not rewritten, is the very tuple that the snapshot read: its values
have not been looked at again, and cannot have changed. All others are compared by value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import sql

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.copier import Copier
from rollback_provider.components.postgres.delta import heap_size, is_traceable
from rollback_provider.components.postgres.horizon import current_xmin
from rollback_provider.components.postgres.lines import IN_MEMORY, join
from rollback_provider.components.postgres.rows import CHECKSUM_BITS, checksum, keys_of
from rollback_provider.components.postgres.tables import Table, columns_of, name_of
from rollback_provider.components.postgres.taking import reads_alike
from rollback_provider.components.postgres.trace import Trace

READ_WHOLE = 64 * 1024 * 1024
"""Bytes of heap up to which all rows are read again, which then costs next to nothing."""

Difference = tuple[bytes, bytes | None, bytes | None]
"""Key, row now, row in the snapshot."""


@dataclass(frozen=True)
class Traced:
    """A table of which only the rows that were written since were read.

    :param rows: number of rows now
    :param left: of them, those that are where they were copied
    :param differences: rows that differ
    :param expected: checksum of the snapshot's rows that are not where they were copied
    :param actual: checksum of the rows that were written since
    """

    rows: int
    left: int
    differences: list[Difference]
    expected: int
    actual: int

    @property
    def written(self) -> int:
        """Rows that were compared by value."""
        return self.rows - self.left


class RowComparer:
    """Compares tables in one transaction.

    :param trackable: whether transaction ids are those of the snapshot's server
    :param same_types: whether the user's types are what they were
    """

    def __init__(self, copier: Copier, base: Base, *, trackable: bool, same_types: bool) -> None:
        self._copier = copier
        self._session = copier.session
        self._base = base
        self._trackable = trackable
        self._same_types = same_types

    def traced(self, table: Table, found: Table) -> Traced | None:
        """Compares a table without reading all its rows; None where only reading them all tells.

        That is so for small tables, without a key, where the heap is another one, where columns are not the same or their text depends on
        something else, and where what was found does not add up.
        """
        if not table.key or heap_size(self._session, found)[1] <= READ_WHOLE:
            return None
        if not self.is_traceable(table, found) or not self.reads_alike(table, found):
            return None
        trace = Trace(self._copier, self._base, table.oid, found, table.key_columns)
        if trace.written > IN_MEMORY:
            return None
        lines = self.written(trace, table, found)
        matches = list(self._base.match(table.oid, [lines], len(lines)))
        gone = list(self._gone(trace, table, lines))
        before = [row for _, _, row in (*matches, *gone) if row is not None]
        left = trace.rows - trace.written
        if len(lines) != trace.written or left + len(before) != self._base.rows(table.oid):
            return None
        return Traced(
            rows=trace.rows,
            left=left,
            differences=[(key, now, row) for key, now, row in (*matches, *gone) if now != row],
            expected=checksum(before),
            actual=checksum(lines),
        )

    def differences(
        self, table: Table, found: Table, rows: int, rows_now: int, expected: int, actual: int
    ) -> Iterator[Difference]:
        """Rows that differ in a table that was read whole.

        First only those written since the snapshot and those that are gone are looked for; if that does not account for everything, all
        are compared.
        """
        if self.is_traceable(table, found):
            some = list(self._some(table, found))
            gain, balance = (sum(values) for values in zip((0, 0), *map(balance_of, some), strict=True))
            if rows + gain == rows_now and (expected + balance) % (1 << CHECKSUM_BITS) == actual:
                yield from some
                return
        now = ([line] for line in self._lines(self._select(table, found, sql.SQL("true").format())))
        for key, line, before in join(now, rows_now, self._base.lines(table.oid), len(table.key), outer=True):
            if line != before:
                yield key, line, before

    def is_traceable(self, table: Table, found: Table) -> bool:
        """Whether rows are where they were copied unless they were written."""
        now = current_xmin(self._session)
        return self._trackable and table.oid == found.oid and is_traceable(self._base, table.oid, found, now)

    def reads_alike(self, table: Table, found: Table) -> bool:
        """Whether rows that nobody has written have the same values under the same names."""
        names = [column.name for column in found.stored_columns]
        same = names == [column.name for column in table.stored_columns]
        return same and reads_alike(table, found, same_types=self._same_types)

    def written(self, trace: Trace, table: Table, found: Table) -> list[bytes]:
        """Lines of the rows written since the snapshot."""
        queries = (self._select(table, found, condition) for condition in trace.fresh_conditions())
        return [line for query in queries for line in self._lines(query)]

    def _some(self, table: Table, found: Table) -> Iterator[Difference]:
        """Rows written since the snapshot that differ, and rows that are gone; none where they are too many to hold."""
        trace = Trace(self._copier, self._base, table.oid, found, table.key_columns)
        if trace.written > IN_MEMORY:
            return
        lines = self.written(trace, table, found)
        for key, now, before in self._base.match(table.oid, [lines], len(lines)):
            if now != before:
                yield key, now, before
        yield from self._gone(trace, table, lines)

    def _gone(self, trace: Trace, table: Table, written: list[bytes]) -> Iterator[Difference]:
        """Rows that are not there any more."""
        gone = {key for keys in trace.gone(set(keys_of(written, len(table.key)))) for key in keys}
        if gone:
            yield from ((key, None, before) for key, before in self._base.find(table.oid, gone))

    def _lines(self, query: sql.Composed) -> Iterator[bytes]:
        with self._session.cursor().copy(sql.SQL("copy ({}) to stdout").format(query)) as copy:
            for row in copy:
                yield bytes(row)[:-1]

    def _select(self, table: Table, found: Table, where: sql.Composed) -> sql.Composed:
        return sql.SQL("select {} from only {} where {}").format(
            columns_of(table.stored_columns), name_of(found), where
        )


def balance_of(difference: Difference) -> tuple[int, int]:
    """What a row that differs adds to the number of rows and to their checksum."""
    _, now, before = difference
    gain = (now is not None) - (before is not None)
    return gain, checksum(_present(now)) - checksum(_present(before))


def _present(line: bytes | None) -> list[bytes]:
    return [] if line is None else [line]
