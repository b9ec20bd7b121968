"""Rows that one turn could not write: the next takes these alone.

A row that a turn has written and that is not as it was left has since been written by an application, and is none of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Self

from rollback_provider.components.postgres.lines import blocks_of
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobWriter

LAST_TURN = 3
"""Rows are tried so often."""


class Waiting:
    """Lines of stages, by action, table and turn: what one transaction has left for the next turn."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, int, int], list[bytes]] = {}

    def add(self, op: str, table: int, turn: int, lines: Iterable[bytes]) -> None:
        """Adds what an action has left."""
        self._lines.setdefault((op, table, turn), []).extend(lines)

    def get(self, op: str, table: int, turn: int) -> Sequence[bytes]:
        """What an action has left in a turn."""
        return self._lines.get((op, table, turn), ())

    def copy(self) -> Self:
        """As it is now."""
        other = type(self)()
        for key, lines in self._lines.items():
            other.add(*key, lines)
        return other

    def to_json(self, blobs: BlobWriter) -> Json:
        """For the note of a transaction that is committed before the next turn begins."""
        found = [
            {"op": op, "table": table, "turn": turn, "blocks": [asdict(block) for block in blocks_of(lines, blobs)]}
            for (op, table, turn), lines in self._lines.items()
            if lines
        ]
        return {"waiting": found} if found else {}


def noted(notes: Iterable[Json], op: str, table: int, turn: int) -> list[Json]:
    """Blocks of the lines that an action has left in a turn that is done, by the notes of its step: the last of each unit counts."""
    last = {int(note["unit"]): note.get("waiting", ()) for note in notes}
    return [
        block
        for unit in sorted(last)
        for left in last[unit]
        if (left["op"], left["table"], left["turn"]) == (op, table, turn)
        for block in left["blocks"]
    ]
