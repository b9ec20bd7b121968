"""Rows that the first of two turns could not write: the second takes these alone.

A row that the first turn has written and that is not as it was left has since been written by an application, and is none of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Self

from rollback_provider.components.postgres.lines import blocks_of
from rollback_provider.core.component import BlobWriter
from rollback_provider.core.model import Json


class Waiting:
    """Lines of stages, by action and table: what one transaction has left for the second turn."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, int], list[bytes]] = {}

    def add(self, op: str, table: int, lines: Iterable[bytes]) -> None:
        """Adds what an action has left."""
        self._lines.setdefault((op, table), []).extend(lines)

    def get(self, op: str, table: int) -> Sequence[bytes]:
        """What an action has left."""
        return self._lines.get((op, table), ())

    def copy(self) -> Self:
        """As it is now."""
        other = type(self)()
        for (op, table), lines in self._lines.items():
            other.add(op, table, lines)
        return other

    def to_json(self, blobs: BlobWriter) -> Json:
        """For the note of a transaction that is committed before the second turn begins."""
        found = [
            {"op": op, "table": table, "blocks": [asdict(block) for block in blocks_of(lines, blobs)]}
            for (op, table), lines in self._lines.items()
            if lines
        ]
        return {"waiting": found} if found else {}


def noted(notes: Iterable[Json], op: str, table: int) -> list[Json]:
    """Blocks of the lines that an action has left, by the notes of its step, which is done: of each transaction the last note counts."""
    last = {int(note["unit"]): note.get("waiting", ()) for note in notes}
    return [
        block
        for unit in sorted(last)
        for left in last[unit]
        if (left["op"], left["table"]) == (op, table)
        for block in left["blocks"]
    ]
