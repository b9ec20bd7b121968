"""Streams of lines: read from blocks, put aside, joined by key. At most one block and one bounded hash table are in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import compress, islice
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import IO, Self
from zlib import crc32

from rollback_provider.components.postgres.blocks import BLOCK_BYTES, Block
from rollback_provider.components.postgres.rows import checksum, key_of, keys_of
from rollback_provider.core.component import BlobReader, BlobWriter

IN_MEMORY = 500_000
"""Rows that one side of a join may hold in memory; beyond that both sides are partitioned on disk."""

AHEAD = 2
"""Blobs that are fetched and unpacked before they are needed."""


def read_blobs(digests: Sequence[str], blobs: BlobReader) -> Iterator[list[bytes]]:
    """Lines of blobs, without their line ends, one list a blob. The next ones are fetched and unpacked meanwhile."""
    with ThreadPoolExecutor(AHEAD) as pool:
        waiting = deque(pool.submit(blobs.get_blob, digest) for digest in digests[:AHEAD])
        try:
            for i in range(len(digests)):
                content = waiting.popleft().result()
                if i + AHEAD < len(digests):
                    waiting.append(pool.submit(blobs.get_blob, digests[i + AHEAD]))
                yield content.split(b"\n")[:-1]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def read_lines(blocks: Sequence[Block], blobs: BlobReader) -> Iterator[list[bytes]]:
    """Lines of blocks, one list a block."""
    return read_blobs([block.digest for block in blocks], blobs)


def pick_lines(content: bytes, keys: Sequence[bytes], places: Sequence[int], end: bytes) -> list[bytes]:
    """Lines of a blob at some places, in order, without cutting all others.

    Each is looked for from a little before the place where it should be if lines were of equal length. The key at the beginning of a line
    is found there only, wherever the search begins; where it began too late, all lines are cut after all.

    :param keys: of all lines, each once
    :param end: what follows a key: a tab, or a line end where the key is all
    """
    found: list[bytes] = []
    last, start = 0, 0
    average = len(content) / max(len(keys), 1)
    for place in places:
        near = start + int((place - last) * average * 0.9) if place > last else start
        begin = content.find(b"\n" + keys[place] + end, near) + 1 if place else 0
        if place and not begin:
            lines = content.split(b"\n")
            return [lines[i] for i in places]
        last, start = place, begin
        found.append(content[begin : content.index(b"\n", begin)])
    return found


def contents(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines put together to pieces of a few megabytes."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= BLOCK_BYTES:
            yield b"\n".join(piece) + b"\n"
            piece, size = [], 0
    if piece:
        yield b"\n".join(piece) + b"\n"


def blocks_of(lines: Iterable[bytes], blobs: BlobWriter) -> tuple[Block, ...]:
    """Stores lines as blocks."""
    found = []
    for content in contents(lines):
        ref = blobs.put_blob(content)
        stored = content.split(b"\n")[:-1]
        found.append(Block(ref.digest, ref.size, len(stored), f"{checksum(stored):032x}"))
    return tuple(found)


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
