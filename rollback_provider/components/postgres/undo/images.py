"""Images of rows that a rollback has changed: before and after, in the layout that the table had before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rollback_provider.components.postgres.blocks import Block
from rollback_provider.components.postgres.lines import join, read_lines
from rollback_provider.components.postgres.reversal import TableChange
from rollback_provider.components.postgres.rows import NULL, key_of
from rollback_provider.components.postgres.undo.done import Done
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobReader

KEPT = b"\x00"
"""In the place of a field: the image does not know it. No line of COPY text holds a zero byte."""
NONE = b"\x01"
"""In the place of all fields: there is no row. COPY writes this byte as it is, but never as a whole row of one."""


class Layout:
    """Where the values of a table are, before a rollback and in its images.

    An image is a line: the key that the rollback goes by, a mark for before, the fields before, a mark for after, the fields after. A mark
    is :data:`NONE` where there is no row.

    :param change: from the table that the rollback leads to, to the table before it
    :param converted: columns (attnum before) of which images hold other text than the table did
    """

    def __init__(self, change: TableChange, converted: frozenset[int]) -> None:
        self.change = change
        self.columns = change.now.stored_columns
        self.width = len(change.then.key)
        self.converted = converted
        self._places = {column.number: i for i, column in enumerate(self.columns)}
        self.key = [self._places[change.columns[number] or 0] for number in change.then.key]

    def place(self, number: int) -> int | None:
        """Where the column of this attnum in the snapshot is, if it was there before the rollback."""
        return self._places.get(self.change.columns.get(number) or 0)

    def own_place(self, number: int) -> int:
        """Where the column of this attnum before the rollback is."""
        return self._places[number]

    def key_of(self, line: bytes) -> bytes:
        """The key that the rollback goes by, of a line before it."""
        fields = line.split(b"\t")
        return b"\t".join([fields[i] for i in self.key])

    def image(self, key: Sequence[bytes], before: dict[int, bytes] | None, after: dict[int, bytes] | None) -> bytes:
        """The image of one row; fields by place."""
        places = dict(zip(self.key, key, strict=True))
        parts: list[bytes] = [*key]
        for side in (before, after):
            known = {**places, **(side or {})}
            parts.append(NONE if side is None else b"")
            parts += [known.get(i, KEPT) for i in range(len(self.columns))]
        return b"\t".join(parts)

    def sides(self, image: bytes) -> tuple[list[bytes] | None, list[bytes] | None]:
        """Fields before and after; None where there is no row."""
        fields = image.split(b"\t")
        size = len(self.columns) + 1
        sides = fields[self.width : self.width + size], fields[self.width + size :]
        before, after = (None if side[0] == NONE else side[1:] for side in sides)
        return before, after

    def laid_over(self, image: bytes, line: bytes | None) -> tuple[bytes | None, bytes | None]:
        """The row before and after, where `line` is the row as far as it is known without the image."""
        before, after = self.sides(image)
        known = line.split(b"\t") if line is not None else [NULL] * len(self.columns)
        if before is not None:
            known = _over(before, known)
        return (
            None if before is None else b"\t".join(known),
            None if after is None else b"\t".join(_over(after, known)),
        )


def images_of(layout: Layout, done: Done, blobs: BlobReader) -> Iterator[bytes]:
    """Images of the rows of a table that a rollback has changed, each key once."""
    oid = layout.change.then.oid
    merged = done.of_table(oid, "update", "delete", "insert")
    refilled = done.of_table(oid, "refill")
    if not refilled:
        yield from _images(layout, merged, blobs)
        return
    rows = _count(merged)
    batches = ([image] for image in _images(layout, merged, blobs))
    others = ([image] for image in _images(layout, refilled, blobs))
    yield from both(layout, batches, rows, others)


def both(
    layout: Layout, upper: Iterable[Sequence[bytes]], rows: int, lower: Iterable[Sequence[bytes]]
) -> Iterator[bytes]:
    """Images of two kinds, where a row has both as one: the upper one's fields over the lower one's."""
    for _, over, under in join(upper, rows, lower, layout.width, outer=True):
        if over is None or under is None:
            yield over or under or b""
            continue
        first, second = layout.sides(over), layout.sides(under)
        sides = [
            None if one is None else _over(one, other or [KEPT] * len(one))
            for one, other in zip(first, second, strict=True)
        ]
        parts = [key_of(over, layout.width)]
        for side in sides:
            parts += [NONE if side is None else b"", *(side or [KEPT] * len(layout.columns))]
        yield b"\t".join(parts)


def _images(layout: Layout, changes: Sequence[Json], blobs: BlobReader) -> Iterator[bytes]:
    for change in changes:
        places = [layout.place(number) for number in change["columns"]]
        count = len(places)
        last = [layout.own_place(number) for number in change["beside"]]
        for lines in read_lines([Block(**block) for block in change["blocks"]], blobs):
            for line in lines:
                fields = line.split(b"\t")
                key, values = fields[: layout.width], fields[layout.width :]
                first = {i: value for i, value in zip(places, values[:count], strict=True) if i is not None}
                first |= dict(zip(last, values[len(values) - len(last) :], strict=True))
                before = {i: value for i, value in first.items() if layout.columns[i].number not in layout.converted}
                if change["op"] == "insert":
                    yield layout.image(key, None, first)
                elif change["op"] == "delete":
                    yield layout.image(key, before, None)
                else:
                    second = {i: value for i, value in zip(places, values[count:], strict=True) if i is not None}
                    yield layout.image(key, before, second)


def _count(changes: Sequence[Json]) -> int:
    return sum(int(block["rows"]) for change in changes for block in change["blocks"])


def _over(upper: Sequence[bytes], lower: Sequence[bytes]) -> list[bytes]:
    return [other if one == KEPT else one for one, other in zip(upper, lower, strict=True)]
