"""Blocks: rows of a COPY, cut into pieces of a few megabytes, hashed and compressed. Runs in this process or as a worker.

As a worker (``python -m rollback_provider.components.postgres.blocks``) it reads jobs from standard input, one JSON
object a line, the first being ``{"conninfo": …, "snapshot": …}``, each later one an :class:`Extract`; it answers each
with frames on standard output: a line of JSON that describes a block and what is to be stored of it, followed by that,
compressed; an empty object closes the job. COPY hands rows over one by one, which costs more than Python's threads can
share: two processes read twice as fast as one.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
import zstandard
from xxhash import xxh3_128_intdigest

from rollback_provider.components.postgres.rows import CHECKSUM_BITS, keys_of
from rollback_provider.core.model import BlobRef

BLOCK_BYTES = 4 * 1024 * 1024
"""Content of one block, about."""
ZSTD_LEVEL = 1


@dataclass(frozen=True)
class Extract:
    """Rows to copy: `query` selects them; several extracts of one label are parts of one whole.

    :param size: bytes it is expected to read, for balance and progress
    :param page: first page of the range of the table that it reads; None where it does not read all rows of one
    :param key: number of leading columns by which rows are looked up later; 0 where they are not
    """

    label: str
    query: str
    size: int
    page: int | None = None
    key: int = 0


@dataclass(frozen=True)
class Block:
    """What is known of a block.

    `checksum` is that of :func:`~rollback_provider.components.postgres.rows.checksum`, in hexadecimal.

    :param digest: of its lines
    :param page: as in the extract
    :param keys: digest of its lines' keys alone, in the same order, which are a small part of it; empty where they were not kept
    """

    digest: str
    size: int
    rows: int
    checksum: str
    page: int | None = None
    keys: str = ""


Stored = tuple[BlobRef, bytes]
"""A blob, and its content, compressed."""


def read_blocks(
    session: psycopg.Connection[Any], extract: Extract, *, keep: bool
) -> Iterator[tuple[Block, list[Stored]]]:
    """Copies an extract out and yields blocks with what is to be stored of each.

    :param keep: if false, rows are only counted and hashed, and nothing is to be stored
    """
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True)
    lines: list[bytes] = []
    rows, size, hashed = 0, 0, 0

    def blob(content: bytes) -> Stored:
        data = compressor.compress(content)
        return BlobRef(digest=hashlib.sha256(content).hexdigest(), size=len(content), stored_size=len(data)), data

    def block() -> tuple[Block, list[Stored]]:
        stored = [blob(b"".join(lines))] if keep else []
        if keep and extract.key:
            stored.append(blob(b"\n".join(keys_of(lines, extract.key)) + b"\n"))
        digest, keys = ([ref.digest for ref, _ in stored] + ["", ""])[:2]
        return Block(digest, size, rows, f"{hashed % (1 << CHECKSUM_BITS):032x}", extract.page, keys), stored

    with session.cursor() as cursor, cursor.copy(f"copy ({extract.query}) to stdout".encode()) as copy:
        for row in copy:
            if keep:
                lines.append(bytes(row))
            rows += 1
            size += len(row)
            hashed += xxh3_128_intdigest(row[:-1])
            if size >= BLOCK_BYTES:
                yield block()
                lines, rows, size, hashed = [], 0, 0, 0
    if rows:
        yield block()


def total(checksums: Iterator[str]) -> str:
    """Checksum of all blocks together."""
    return f"{sum(int(value, 16) for value in checksums) % (1 << CHECKSUM_BITS):032x}"


def main() -> None:
    """The worker: see the module."""
    from rollback_provider.components.postgres.session import sharing

    out = sys.stdout.buffer
    first = json.loads(sys.stdin.readline())
    try:
        session = sharing(first["conninfo"], first["snapshot"])
        for line in sys.stdin:
            job = json.loads(line)
            for block, stored in read_blocks(session, Extract(**job["extract"]), keep=job["keep"]):
                head = {"block": asdict(block), "stored": [ref.model_dump() for ref, _ in stored]}
                out.write(json.dumps(head).encode() + b"\n")
                for _, data in stored:
                    out.write(data)
            out.write(b"{}\n")
            out.flush()
    except psycopg.Error as error:
        out.write(
            json.dumps({"error": str(error).strip().splitlines()[0], "sqlstate": error.sqlstate}).encode() + b"\n"
        )
        out.flush()


if __name__ == "__main__":
    main()
