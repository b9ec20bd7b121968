"""The rows before the migration: the snapshot's, with what was caught up right before the migration laid over them.

Everything streams: blocks are read one by one, and only those that hold a row that is wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import compress

from rollback_provider.components.postgres.blocks import Block
from rollback_provider.components.postgres.images import load_deltas, load_rows
from rollback_provider.components.postgres.lines import AHEAD, IN_MEMORY, join, pick_lines, read_blobs, read_lines
from rollback_provider.components.postgres.rows import CHECKSUM_BITS, checksum, key_of, keys_of
from rollback_provider.core.component import BlobReader

Match = tuple[bytes, bytes | None, bytes | None]
"""A key, the line that is matched, and the base's line; one of the lines may be missing."""


@dataclass(frozen=True)
class Origin:
    """Where and when the rows of a table were copied as a whole.

    :param filenode: of the table then
    :param xmin: horizon of that moment; None where the rows were put together and are not those of any heap
    """

    blocks: tuple[Block, ...]
    filenode: int
    xmin: int | None


class Base:
    """The rows before the migration.

    :param rows: digest of the snapshot's row index
    :param catch_up: digest of the delta taken right before the migration, where there is one
    """

    def __init__(self, rows: str, catch_up: str | None, blobs: BlobReader) -> None:
        self.tables = load_rows(rows, blobs)
        self._blobs = blobs
        self._catch_up = load_deltas(catch_up, blobs)
        self._overlays: dict[int, dict[bytes, bytes | None]] = {}

    def origin(self, oid: int) -> Origin:
        """What the rows of a table were last copied from as a whole."""
        delta, rows = self._catch_up.get(oid), self.tables[oid]
        if delta and delta.rewritten:
            return Origin(delta.changed, delta.now.filenode, delta.xmin)
        return Origin(rows.blocks, rows.table.filenode, rows.xmin)

    def overlay(self, oid: int) -> dict[bytes, bytes | None]:
        """Rows that were caught up, by key: None where the row is gone. Empty where all rows were copied again."""
        if oid not in self._overlays:
            overlay: dict[bytes, bytes | None] = {}
            delta = self._catch_up.get(oid)
            if delta and not delta.rewritten:
                width = self._width(oid)
                for lines in read_lines(delta.changed, self._blobs):
                    overlay.update((key_of(line, width), line) for line in lines)
                for lines in read_lines(delta.deleted, self._blobs):
                    overlay.update((line, None) for line in lines)
            self._overlays[oid] = overlay
        return self._overlays[oid]

    def lines(self, oid: int) -> Iterator[list[bytes]]:
        """Rows of a table as lines of ``table.stored_columns``, block by block."""
        overlay, width = self.overlay(oid), self._width(oid)
        for lines in read_lines(self.origin(oid).blocks, self._blobs):
            yield [line for line in lines if key_of(line, width) not in overlay] if overlay else lines
        if overlay:
            yield [line for line in overlay.values() if line is not None]

    def keys(self, oid: int) -> Iterator[list[bytes]]:
        """Keys of a table's rows, block by block."""
        overlay = self.overlay(oid)
        for keys in self.stored_keys(oid, self.origin(oid).blocks):
            yield [key for key in keys if key not in overlay] if overlay else keys
        if overlay:
            yield [key for key, line in overlay.items() if line is not None]

    def stored_keys(self, oid: int, blocks: Sequence[Block]) -> Iterator[list[bytes]]:
        """Keys of the rows in these blocks of the table, whatever was caught up, block by block."""
        if all(block.keys for block in blocks):
            yield from read_blobs([block.keys for block in blocks], self._blobs)
        else:
            width = self._width(oid)
            yield from (keys_of(lines, width) for lines in read_lines(blocks, self._blobs))

    def find(self, oid: int, wanted: Collection[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """The rows of these keys, as keys and lines."""
        overlay = self.overlay(oid)
        for key, line in self._stored(oid, wanted):
            if key not in overlay:
                yield key, line
        for key, over in overlay.items():
            if over is not None and key in wanted:
                yield key, over

    def match(self, oid: int, left: Iterable[Sequence[bytes]], left_rows: int) -> Iterator[Match]:
        """Finds for each line of `left` the row of the same key. Keys of `left` are unique.

        :param left_rows: number of lines, to decide whether they fit in memory
        """
        width = self._width(oid)
        if left_rows > IN_MEMORY:
            yield from join(left, left_rows, self.lines(oid), width)
            return
        waiting: dict[bytes, bytes] = {}
        for lines in left:
            waiting.update(zip(keys_of(lines, width), lines, strict=True))
        for key, line in self.find(oid, waiting):
            yield key, waiting.pop(key), line
        for key, line in waiting.items():
            yield key, line, None

    def rows(self, oid: int) -> int:
        """Number of rows of a table."""
        delta = self._catch_up.get(oid)
        if delta and delta.xmin is not None:  # counted when it was read
            return delta.rows
        blocks, overlay = self.origin(oid).blocks, self.overlay(oid)
        rows = sum(block.rows for block in blocks)
        if overlay:
            rows -= sum(sum(map(overlay.__contains__, keys)) for keys in self.stored_keys(oid, blocks))
            rows += sum(line is not None for line in overlay.values())
        return rows

    def count(self, oid: int) -> tuple[int, int]:
        """Rows of a table, and their checksum; reads every block that holds a row which was caught up."""
        blocks = self.origin(oid).blocks
        rows = sum(block.rows for block in blocks)
        hashed = sum(int(block.checksum, 16) for block in blocks)
        overlay = self.overlay(oid)
        if overlay:
            replaced = [line for _, line in self._stored(oid, overlay)]
            added = [line for line in overlay.values() if line is not None]
            rows += len(added) - len(replaced)
            hashed += checksum(added) - checksum(replaced)
        return rows, hashed % (1 << CHECKSUM_BITS)

    def _width(self, oid: int) -> int:
        return len(self.tables[oid].table.key)

    def _stored(self, oid: int, wanted: Collection[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Rows that were copied as a whole, by key. The loop over all keys stays in C: most of them are not wanted."""
        blocks = self.origin(oid).blocks
        waiting: deque[tuple[list[int], list[bytes], Future[bytes]]] = deque()
        end = b"\t" if self._width(oid) < len(self.tables[oid].table.stored_columns) else b"\n"

        def taken() -> Iterator[tuple[bytes, bytes]]:
            places, keys, content = waiting.popleft()
            found = pick_lines(content.result(), keys, places, end)
            return ((keys[i], line) for i, line in zip(places, found, strict=True))

        with ThreadPoolExecutor(AHEAD) as pool:
            for block, keys in zip(blocks, self.stored_keys(oid, blocks), strict=True):
                places = list(compress(range(len(keys)), map(wanted.__contains__, keys)))
                if places:
                    waiting.append((places, keys, pool.submit(self._blobs.get_blob, block.digest)))
                if len(waiting) > 2 * AHEAD:
                    yield from taken()
            while waiting:
                yield from taken()
