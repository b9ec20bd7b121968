"""What a rollback has written, row by row, from the notes of its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy

from rollback_provider.components.memory.systems import Row, State, put_row
from rollback_provider.core.base import Json

Writes = dict[str, tuple[Row | None, Row | None]]


def written(notes: Sequence[Json]) -> Writes:
    """Rows that a step has written, as they were before it and after it: the last note counts, the others' writes have not come about."""
    return {note["writes"]: (note["was"], note["is"]) for note in notes if "writes" in note}


def before_and_after(kept: State, writes: Mapping[str, Writes], now: State) -> tuple[State, State]:
    """The state before a rollback, and what the rollback has made of it.

    :param kept: the state right before its first step
    :param writes: rows by scope, as they were before it and after it
    """
    then, left = deepcopy(kept), deepcopy(kept)
    for scope, rows in writes.items():
        for key, images in rows.items():
            for state, row in zip((then, left), images, strict=True):
                if scope in state or row is not None:
                    put_row(state.setdefault(scope, {}), key, row)
        if scope in now:
            left.setdefault(scope, {})
        else:
            left.pop(scope, None)
    return then, left
