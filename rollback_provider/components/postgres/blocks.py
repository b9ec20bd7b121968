"""Blocks: rows of a COPY, cut into pieces of a few megabytes, hashed and compressed. Runs in this process or as a worker.

As a worker (``python -m rollback_provider.components.postgres.blocks``) it reads jobs from standard input, one JSON
object a line, the first being ``{"conninfo": …, "snapshot": …}``, each later one ``{"query": …}``; it answers each
with frames on standard output: a line of JSON that describes a block, followed by the compressed block; a line
without a digest closes the job. COPY hands rows over one by one, which costs more than Python's threads can share:
two processes read twice as fast as one.
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

from rollback_provider.components.postgres.rows import CHECKSUM_BITS

BLOCK_BYTES = 4 * 1024 * 1024
"""Content of one block, about."""
ZSTD_LEVEL = 1


@dataclass(frozen=True)
class Block:
    """What is known of a block.

    `checksum` is that of :func:`~rollback_provider.components.postgres.rows.checksum`, in hexadecimal.
    """

    digest: str
    size: int
    rows: int
    checksum: str


def read_blocks(session: psycopg.Connection[Any], query: str, *, keep: bool) -> Iterator[tuple[Block, bytes]]:
    """Runs ``copy (query) to stdout`` and yields blocks with their compressed content.

    :param keep: if false, rows are only counted and hashed, and the content is empty
    """
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True)
    lines: list[bytes] = []
    rows, size, hashed = 0, 0, 0

    def block() -> tuple[Block, bytes]:
        content = b"".join(lines)
        digest = hashlib.sha256(content).hexdigest() if keep else ""
        return Block(digest, size, rows, f"{hashed % (1 << CHECKSUM_BITS):032x}"), compressor.compress(
            content
        ) if keep else b""

    with session.cursor() as cursor, cursor.copy(f"copy ({query}) to stdout".encode()) as copy:
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
    from rollback_provider.components.postgres.session import fix_settings

    out = sys.stdout.buffer
    first = json.loads(sys.stdin.readline())
    try:
        session = psycopg.connect(first["conninfo"], autocommit=True)
        fix_settings(session)
        session.execute("begin isolation level repeatable read read only")
        session.execute(psycopg.sql.SQL("set transaction snapshot {}").format(first["snapshot"]))
        for line in sys.stdin:
            job = json.loads(line)
            for block, data in read_blocks(session, job["query"], keep=job["keep"]):
                out.write(json.dumps(asdict(block) | {"stored": len(data)}).encode() + b"\n")
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
