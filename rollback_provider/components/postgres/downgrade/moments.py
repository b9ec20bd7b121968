"""One table at several moments, row by row, as far as its rows are not those of the base."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.catalog import Catalog
from rollback_provider.components.postgres.delta import order_of, written_alike
from rollback_provider.components.postgres.images import TableDelta, load_deltas
from rollback_provider.components.postgres.lines import join, read_lines
from rollback_provider.components.postgres.merge import constant
from rollback_provider.components.postgres.reversal import TableChange
from rollback_provider.components.postgres.reverse import Retyped, retyped, reverse
from rollback_provider.components.postgres.rows import NULL, field
from rollback_provider.components.postgres.tables import Column, Table
from rollback_provider.components.postgres.view import catalog_of
from rollback_provider.core.component import BlobReader
from rollback_provider.core.model import ComponentState

ABSENT = b"\x00"
"""In the place of a field: the column is not there. No line of COPY text holds a zero byte."""
_GONE = b"\x00"
_SAME = b"\x00="
_ROW = b"\x00+"
Fields = list[bytes] | None
"""A row by the snapshot's stored columns; None where there is none."""


@dataclass(frozen=True)
class Moment:
    """The database at one moment, against the base.

    :param changes: the snapshot's tables that were there, by oid in the snapshot
    :param deltas: what differs from the base in them
    :param foreign: columns (oid, attnum in the snapshot) whose values read otherwise than in the snapshot
    """

    changes: dict[int, TableChange]
    deltas: dict[int, TableDelta]
    foreign: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, then: Catalog, state: ComponentState, blobs: BlobReader) -> Moment:
        """The moment that a state holds."""
        now = catalog_of(state, blobs)
        return cls(
            {change.then.oid: change for change in reverse(then, now).tables},
            load_deltas(state.payload["deltas"], blobs),
            frozenset((each.oid, each.number) for each in retyped(then, now) if _reads_otherwise(each)),
        )


@dataclass(frozen=True)
class Row:
    """One row at four moments: right before the migration, as the migration left it, right before the downgrade, right after it."""

    key: bytes
    base: Fields
    left: Fields
    before: Fields
    after: Fields
    unread: bool
    """Whether the delta right after the downgrade says nothing of it."""


class Rows:
    """The rows of one table of the snapshot at one moment that differ from the base."""

    def __init__(self, moment: Moment, table: Table, blobs: BlobReader) -> None:
        self.change = moment.changes.get(table.oid)
        self.delta = moment.deltas.get(table.oid) or _empty(self.change)
        self._blobs = blobs
        there = self.change.columns if self.change else {}
        order = {number: i for i, number in enumerate(self.delta.order if self.delta else ())}
        self.numbers = [there.get(column.number) for column in table.stored_columns]
        self.defaults = [_default(column) for column in table.stored_columns]
        self.foreign = [(table.oid, column.number) in moment.foreign for column in table.stored_columns]
        self._places = [order.get(number) if number is not None else None for number in self.numbers]
        self._size = len(order)

    @classmethod
    def none(cls, table: Table, blobs: BlobReader) -> Rows:
        """Of a moment of which nothing is known."""
        return cls(Moment({}, {}, frozenset()), table, blobs)

    @property
    def keyed(self) -> bool:
        """Whether they can be told apart by the snapshot's key."""
        return self.delta is None or self.delta.keyed

    @property
    def count(self) -> int:
        """How many."""
        return sum(block.rows for block in (*self.delta.changed, *self.delta.deleted)) if self.delta else 0

    def lines(self) -> Iterator[list[bytes]]:
        """Them, with keys of deleted ones marked."""
        if self.delta:
            yield from read_lines(self.delta.changed, self._blobs)
            for keys in read_lines(self.delta.deleted, self._blobs):
                yield [key + b"\t" + _GONE for key in keys]

    def same_columns(self, other: Rows) -> list[bool]:
        """Which columns are the very same ones at another moment: not dropped and added again."""
        if self.change is None or other.change is None or self.change.now.oid != other.change.now.oid:
            return [False] * len(self.numbers)
        return [one is not None and one == two for one, two in zip(self.numbers, other.numbers, strict=True)]

    def pack(self, line: bytes | None) -> list[bytes]:
        """A line, or none, as fields of a longer line."""
        if line is not None and not line.endswith(b"\t" + _GONE):
            return [_ROW, *line.split(b"\t")]
        return [_SAME if line is None and self.change else _GONE, *[b""] * self._size]

    def take(self, packed: list[bytes], base: Fields) -> Fields:
        """Takes from the front what `pack` gave; gives the row."""
        mark, fields = packed[0], packed[1 : 1 + self._size]
        del packed[: 1 + self._size]
        if mark == _SAME:
            return (
                None
                if base is None
                else [ABSENT if n is None else value for value, n in zip(base, self.numbers, strict=True)]
            )
        if mark == _GONE:
            return None
        return [ABSENT if place is None else fields[place] for place in self._places]

    def line_of(self, row: list[bytes]) -> bytes:
        """A row as a line of the delta; what the row does not tell is NULL."""
        fields = [NULL] * self._size
        for place, value in zip(self._places, row, strict=True):
            if place is not None and value != ABSENT:
                fields[place] = value
        return b"\t".join(fields)


def _reads_otherwise(retyped: Retyped) -> bool:
    now = next(column for column in retyped.table.columns if column.name == retyped.column)
    return retyped.labels is not None or not written_alike(retyped.type, now.type)


def _default(column: Column) -> bytes:
    """What a row holds that says nothing of a column, as far as the default is a constant."""
    value = constant(column.default)
    if value is None:
        return NULL
    if value.startswith("'"):
        return field(re.sub(r"'(?:::.*)?$", "", value[1:]).replace("''", "'"))
    plain = value.partition("::")[0]
    return {"true": b"t", "false": b"f", "NULL": NULL}.get(plain, plain.encode())


def _empty(change: TableChange | None) -> TableDelta | None:
    """A delta that says nothing, in the layout of the table."""
    order = order_of(change) if change else None
    if change is None or order is None:
        return None
    numbers = tuple(column.number for column in order)
    return TableDelta(change.then.oid, change.now, numbers, (), (), rows=0, rewritten=False, keyed=True, xmin=None)


def side_by_side(base: Base, table: Table, left: Rows, before: Rows, after: Rows) -> Iterator[Row]:
    """Rows that differ from the base before or after."""
    width = len(table.key)
    count = before.count + after.count
    both = join(before.lines(), before.count, after.lines(), width, outer=True)
    first = ([b"\t".join([key, *before.pack(b), *after.pack(a)])] for key, b, a in both)
    with_left = join(first, count, left.lines(), width)
    second = ([b"\t".join([line or b"", *left.pack(n)])] for _, line, n in with_left)
    for key, line, stored in base.match(table.oid, second, count):
        packed = (line or b"").split(b"\t")[width:]
        old = stored.split(b"\t") if stored is not None else None
        earlier = before.take(packed, old)
        unread = packed[0] == _SAME
        later = after.take(packed, old)
        yield Row(key, old, left.take(packed, old), earlier, later, unread)
