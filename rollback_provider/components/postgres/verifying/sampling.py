"""Rows picked at random and compared field by field: a second opinion on what the fast ways say, with a stated confidence."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from itertools import accumulate

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.lines import read_lines
from rollback_provider.components.postgres.rows import key_of, texts
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Table
from rollback_provider.components.postgres.verifying.lookup import look_up
from rollback_provider.core.component import BlobReader

ROWS = 300
"""Rows of a table that are compared: where none differs, 95 % sure that less than 1 % of all do."""
BLOCKS = 60
"""Blocks that are read for it at most; of a table of more, as many rows as blocks are compared."""
CONFIDENCE = 0.95


def pick(base: Base, table: Table, blobs: BlobReader) -> dict[bytes, bytes]:
    """Rows of the snapshot, each as likely as any other, by key."""
    blocks = base.origin(table.oid).blocks
    ends = list(accumulate(block.rows for block in blocks))
    total = ends[-1] if ends else 0
    wanted = min(total, ROWS if len(blocks) <= BLOCKS else BLOCKS)
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place in random.sample(range(total), wanted):
        block = bisect_right(ends, place)
        places[block].append(place - (ends[block] - blocks[block].rows))
    overlay, width = base.overlay(table.oid), len(table.key)
    picked: dict[bytes, bytes] = {}
    for block, rows in places.items():
        lines = next(iter(read_lines([blocks[block]], blobs)))
        picked.update((key_of(lines[row], width), lines[row]) for row in rows)
    return {key: line for key, line in picked.items() if key not in overlay}


def bound(rows: int) -> float:
    """The share of rows that differ, at most, where none of so many did: what gives none with a chance of 1 - CONFIDENCE.

    Exact binomial bound, 1 - 0.05^(1/n), about 3/n: Hanley, Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 1983.
    """
    return float(1 - (1 - CONFIDENCE) ** (1 / rows)) if rows else 1.0


def unlike(session: Session, table: Table, found: Table, sample: Mapping[bytes, bytes]) -> list[str]:
    """Which rows of the sample are not in the table as they are in the snapshot, field by field, in words."""
    names = [column.name for column in table.stored_columns]
    rows = {tuple(texts(names, line.split(b"\t")).values())[: len(table.key)]: line for line in sample.values()}
    now = look_up(session, found, table.stored_columns, rows)
    problems = []
    for key, line in rows.items():
        then = texts(names, line.split(b"\t"))
        label = ", ".join(f"{name}={value}" for name, value in zip(names, key, strict=False))
        if key not in now:
            problems.append(f"row {label} is not there")
            continue
        fields = now[key][1]
        problems += [
            f"row {label}: {name} is {fields[name]!r}, was {then[name]!r}"
            for name in names
            if fields[name] != then[name]
        ]
    return problems
