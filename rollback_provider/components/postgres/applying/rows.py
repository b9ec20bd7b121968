"""Rows that are merged or filled again: in one transaction, or one batch in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from rollback_provider.components.postgres.actions import lines_of, locks_of, merge_of
from rollback_provider.components.postgres.applying.bench import Bench, Unit
from rollback_provider.components.postgres.applying.circle import Circle
from rollback_provider.components.postgres.applying.loading import reload
from rollback_provider.components.postgres.applying.writing import Batches, RowWriter
from rollback_provider.components.postgres.merge import Merge
from rollback_provider.components.postgres.waiting import noted
from rollback_provider.core.base import Json

TOGETHER = 100_000
"""Rows that may hold what each other should get back are written in one transaction, as long as they are not more."""


class RowUnits:
    """Makes the transactions of row actions."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def of(self, action: Json, batch: int | None) -> Iterator[Unit]:
        """The transactions of one action.

        :param batch: rows of one transaction; None where all steps share one
        """
        locks = locks_of(action)
        if action["op"] == "reload":
            yield Unit(partial(reload, self._bench, action), locks)
            return
        merge = merge_of(action)
        if batch is None:
            yield Unit(lambda: self._write(action, merge, self._all(action)), locks)
            return
        action = self._left(action)
        if "after" in action and action["op"] == "update":
            batch = max(batch, TOGETHER)
        total, batches = action["rows"], Batches(partial(self._lines, action), batch)
        for number in range(-(-total // batch)):
            yield Unit(partial(self._batch, action, merge, batches, number), locks)

    def deferred(self, action: Json, batch: int | None) -> Iterator[Unit]:
        """The one transaction of insertions that refer to each other."""
        parts = [self._left(part) if batch else part for part in action["actions"]]
        if any(part["rows"] for part in parts):
            circle = Circle(self._bench, self._write, action["constraints"])
            yield Unit(
                lambda: circle.run([(part, merge_of(part), self._all(part)) for part in parts]), locks_of(action)
            )

    def _left(self, action: Json) -> Json:
        """In a later turn of a sequence, the action for those rows that the turn before has left, in its step, which is named."""
        if "after" not in action:
            return action
        notes = self._bench.notes.of(action["after"])
        blocks = noted(notes, action["op"], action["table"]["oid"], action["turn"] - 1)
        return action | {"blocks": blocks, "rows": sum(block["rows"] for block in blocks)}

    def _lines(self, action: Json) -> Iterator[Sequence[bytes]]:
        if action.get("turn", 1) > 1 and "after" not in action:  # all turns are in this transaction
            yield self._bench.waiting.get(action["op"], action["table"]["oid"], action["turn"] - 1)
        else:
            yield from lines_of(action, self._bench.base, self._bench.blobs)

    def _all(self, action: Json) -> list[bytes]:
        return [line for part in self._lines(action) for line in part]

    def _write(self, action: Json, merge: Merge, lines: list[bytes]) -> None:
        if not lines:
            return
        writer = RowWriter(self._bench, action.get("turn"))
        ways: dict[str, Callable[[RowWriter, Merge, list[bytes]], None]] = {
            "update": RowWriter.update,
            "delete": RowWriter.delete,
            "insert": RowWriter.insert,
            "refill": partial(RowWriter.refill, keep=bool(action.get("replaces"))),
        }
        ways[action["op"]](writer, merge, lines)

    def _batch(self, action: Json, merge: Merge, batches: Batches, number: int) -> None:
        self._write(action, merge, batches.get(number))
        self._bench.progress.update(
            f"rows back in {merge.table.scope}",
            done=min((number + 1) * batches.size, action["rows"]),
            total=action["rows"],
        )
