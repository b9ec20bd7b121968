"""Row images in the store: the snapshot's rows, overlaid with what was caught up right before the migration, and joins over them.

Everything streams: at most one block and one bounded hash table are in memory.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import compress, islice
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import IO, Any, Self
from zlib import crc32

from rollback_provider.components.postgres.blocks import BLOCK_BYTES, Block
from rollback_provider.components.postgres.rows import CHECKSUM_BITS, checksum, key_of, keys_of
from rollback_provider.components.postgres.tables import Table
from rollback_provider.core.component import BlobReader, BlobWriter
from rollback_provider.core.model import Json

IN_MEMORY = 500_000
"""Rows that one side of a join may hold in memory; beyond that both sides are partitioned on disk."""

AHEAD = 2
"""Blocks that are unpacked before they are needed."""


@dataclass(frozen=True)
class TableRows:
    """All rows of one table in the snapshot, as COPY lines of ``table.stored_columns``."""

    table: Table
    blocks: tuple[Block, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(block.rows for block in self.blocks)


@dataclass(frozen=True)
class TableDelta:
    """What changed in one table since the snapshot.

    :param then: oid of the table in the snapshot
    :param now: the table when the delta was taken
    :param order: attnums of `now` in the order of `changed`'s fields: the snapshot's key first
    :param changed: rows written since, whole, as they are now
    :param rewritten: `changed` holds all rows, because new ones cannot be told from old ones
    :param deleted: keys of rows that are gone
    :param rows: number of rows now
    :param keyed: whether rows can be matched by the snapshot's key; if not, `changed` holds whole rows and `deleted` is unknown
    """

    then: int
    now: Table
    order: tuple[int, ...]
    changed: tuple[Block, ...]
    deleted: tuple[Block, ...]
    rows: int
    rewritten: bool
    keyed: bool

    @property
    def changed_rows(self) -> int:
        """Number of rows in `changed`."""
        return sum(block.rows for block in self.changed)


def save_rows(tables: Iterable[TableRows], blobs: BlobWriter) -> str:
    """Stores the index of a snapshot's rows; gives its digest."""
    return _save([{"table": t.table.to_json(), "blocks": [asdict(b) for b in t.blocks]} for t in tables], blobs)


def load_rows(digest: str, blobs: BlobReader) -> dict[int, TableRows]:
    """The index of a snapshot's rows, by oid."""
    entries = [TableRows(Table.from_json(e["table"]), _blocks(e["blocks"])) for e in json.loads(blobs.get_blob(digest))]
    return {entry.table.oid: entry for entry in entries}


def save_deltas(deltas: Iterable[TableDelta], blobs: BlobWriter) -> str:
    """Stores the index of a delta; gives its digest."""
    return _save([asdict(delta) for delta in deltas], blobs)


def load_deltas(digest: str | None, blobs: BlobReader) -> dict[int, TableDelta]:
    """The index of a delta, by the oid of the table in the snapshot."""
    if digest is None:
        return {}
    found = [
        TableDelta(
            then=entry["then"],
            now=Table.from_json(entry["now"]),
            order=tuple(entry["order"]),
            changed=_blocks(entry["changed"]),
            deleted=_blocks(entry["deleted"]),
            rows=entry["rows"],
            rewritten=entry["rewritten"],
            keyed=entry["keyed"],
        )
        for entry in json.loads(blobs.get_blob(digest))
    ]
    return {delta.then: delta for delta in found}


def read_lines(blocks: Sequence[Block], blobs: BlobReader) -> Iterator[list[bytes]]:
    """Lines of blocks, without their line ends, one list a block. The next blocks are fetched and unpacked meanwhile."""
    with ThreadPoolExecutor(AHEAD) as pool:
        waiting = deque(pool.submit(blobs.get_blob, block.digest) for block in blocks[:AHEAD])
        try:
            for i in range(len(blocks)):
                content = waiting.popleft().result()
                if i + AHEAD < len(blocks):
                    waiting.append(pool.submit(blobs.get_blob, blocks[i + AHEAD].digest))
                yield content.split(b"\n")[:-1]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def blocks_of(lines: Iterable[bytes], blobs: BlobWriter) -> tuple[Block, ...]:
    """Stores lines as blocks."""
    found = []
    for piece in _pieces(lines):
        ref = blobs.put_blob(b"".join(line + b"\n" for line in piece))
        found.append(Block(ref.digest, ref.size, len(piece), f"{checksum(piece):032x}"))
    return tuple(found)


def _pieces(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    piece: list[bytes] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= BLOCK_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


class Spool:
    """Lines put aside, in memory while they are few and on disk beyond that. A context manager."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=16 * 1024 * 1024)  # noqa: SIM115  closed on exit
        self.count = 0

    def __enter__(self) -> Self:
        """Nothing is put aside yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Forgets all lines."""
        self._file.close()

    def add(self, line: bytes) -> None:
        """Puts one line aside."""
        self._file.write(line + b"\n")
        self.count += 1

    def __iter__(self) -> Iterator[bytes]:
        """All lines, in order; can be asked for again."""
        self._file.seek(0)
        for line in self._file:
            yield line[:-1]


class Base:
    """The rows before the migration: the snapshot, with what was caught up laid over it.

    :param rows: digest of the snapshot's row index
    :param catch_up: digest of the delta taken right before the migration, where there is one
    """

    def __init__(self, rows: str, catch_up: str | None, blobs: BlobReader) -> None:
        self.tables = load_rows(rows, blobs)
        self._blobs = blobs
        self._catch_up = load_deltas(catch_up, blobs)
        self._overlays: dict[int, dict[bytes, bytes | None]] = {}

    def lines(self, oid: int) -> Iterator[list[bytes]]:
        """Rows of a table as lines of ``table.stored_columns``, block by block."""
        overlay = self.overlay(oid)
        width = len(self.tables[oid].table.key)
        for lines in read_lines(self._blocks(oid), self._blobs):
            yield [line for line in lines if key_of(line, width) not in overlay] if overlay else lines
        if overlay:
            yield [line for line in overlay.values() if line is not None]

    def keys(self, oid: int) -> Iterator[list[bytes]]:
        """Keys of a table's rows, block by block."""
        width = len(self.tables[oid].table.key)
        for lines in self.lines(oid):
            yield keys_of(lines, width)

    def count(self, oid: int) -> tuple[int, int]:
        """Rows of a table, and their checksum."""
        blocks = self._blocks(oid)
        rows = sum(block.rows for block in blocks)
        hashed = sum(int(block.checksum, 16) for block in blocks)
        overlay = self.overlay(oid)
        if overlay:
            width = len(self.tables[oid].table.key)
            for lines in read_lines(blocks, self._blobs):
                replaced = [line for line in lines if key_of(line, width) in overlay]
                rows -= len(replaced)
                hashed -= checksum(replaced)
            added = [line for line in overlay.values() if line is not None]
            rows += len(added)
            hashed += checksum(added)
        return rows, hashed % (1 << CHECKSUM_BITS)

    def _blocks(self, oid: int) -> tuple[Block, ...]:
        delta = self._catch_up.get(oid)
        return delta.changed if delta and delta.rewritten else self.tables[oid].blocks

    def overlay(self, oid: int) -> dict[bytes, bytes | None]:
        """Rows that were caught up, by key: None where the row is gone. Empty where the delta replaces the table's rows altogether."""
        if oid not in self._overlays:
            overlay: dict[bytes, bytes | None] = {}
            delta = self._catch_up.get(oid)
            if delta and not delta.rewritten:
                width = len(self.tables[oid].table.key)
                for lines in read_lines(delta.changed, self._blobs):
                    overlay.update((key_of(line, width), line) for line in lines)
                for lines in read_lines(delta.deleted, self._blobs):
                    overlay.update((line, None) for line in lines)
            self._overlays[oid] = overlay
        return self._overlays[oid]


def join(
    left: Iterable[Sequence[bytes]],
    left_rows: int,
    right: Iterable[Sequence[bytes]],
    width: int,
    *,
    outer: bool = False,
) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Matches lines by their first `width` fields; yields key, left line, right line.

    Every left line comes out once, with None where it has no match; with `outer` so does every right line. Keys are unique on both sides.

    :param left_rows: number of left lines, to decide whether they fit in memory
    """
    partitions = left_rows // IN_MEMORY + 1
    if partitions == 1:
        yield from _join_in_memory(left, right, width, outer=outer)
        return
    with ExitStack() as stack:
        lefts = [stack.enter_context(TemporaryFile()) for _ in range(partitions)]
        rights = [stack.enter_context(TemporaryFile()) for _ in range(partitions)]
        for lines, files in ((left, lefts), (right, rights)):
            for batch in lines:
                for line in batch:
                    files[crc32(key_of(line, width)) % partitions].write(line + b"\n")
        for mine, theirs in zip(lefts, rights, strict=True):
            mine.seek(0)
            theirs.seek(0)
            yield from _join_in_memory(_batches(mine), _batches(theirs), width, outer=outer)


def _batches(file: IO[bytes]) -> Iterator[list[bytes]]:
    lines = (line[:-1] for line in file)
    while batch := list(islice(lines, 10_000)):
        yield batch


def _join_in_memory(
    left: Iterable[Sequence[bytes]], right: Iterable[Sequence[bytes]], width: int, *, outer: bool
) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    waiting: dict[bytes, bytes] = {}
    for lines in left:
        waiting.update(zip(keys_of(lines, width), lines, strict=True))
    for lines in right:
        keys = keys_of(lines, width)
        # The loop over all rows stays in C: most rows of a snapshot are none of those that are looked for.
        hits = range(len(keys)) if outer else list(compress(range(len(keys)), map(waiting.__contains__, keys)))
        for i in hits:
            yield keys[i], waiting.pop(keys[i], None), lines[i]
    for key, line in waiting.items():
        yield key, line, None


def _save(value: list[Json], blobs: BlobWriter) -> str:
    return blobs.put_blob(json.dumps(value).encode()).digest


def _blocks(entries: Iterable[dict[str, Any]]) -> tuple[Block, ...]:
    return tuple(Block(**entry) for entry in entries)
