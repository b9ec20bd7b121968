"""Lists what a rollback through a tool keeps and what it takes away, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rollback_provider.components.postgres.downgrade.moments import ABSENT, Fields, Row
from rollback_provider.components.postgres.downgrade.settling import Verdict
from rollback_provider.components.postgres.rows import texts
from rollback_provider.components.postgres.tables import Table
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import Action, LedgerEntry

Known = frozenset[tuple[str, tuple[str | None, ...]]]
"""Rows, by scope and key."""


class Lister:
    """The ledger of one table.

    :param listed: rows of which the plan has listed that migration and applications have both changed them
    :param same: which columns were the same ones before and after: what stands in one that was dropped and added again, nobody wrote
    """

    def __init__(
        self, component: str, table: Table, ledger: LedgerWriter, listed: Known, *, same: Sequence[bool]
    ) -> None:
        self._same = same
        self._component, self._table = component, table
        self._ledger, self._listed = ledger, listed
        self._names = [column.name for column in table.stored_columns]

    def add(self, row: Row, verdict: Verdict) -> None:
        """Lists one row, if there is something to say of it."""
        key = texts(self._names[: len(self._table.key)], row.key.split(b"\t"))
        if verdict.clashes and (self._table.scope, tuple(key.values())) not in self._listed:
            images = {"before": row.base, "migrated": row.left, "now": row.before}
            self._entry(
                Action.CONFLICT_KEPT, key, images, verdict.clashes, "changed by the migration and by others since"
            )
        shown = self._overwritten(row, verdict)
        if shown is not None:
            images = {"before": verdict.target, "now": row.after}
            reason = "changed while the tool ran, by it or by an application, which nobody can tell"
            self._entry(Action.AMBIGUOUS, key, images, shown, reason)

    def _overwritten(self, row: Row, verdict: Verdict) -> list[int] | None:
        """Columns whose value is neither what it was nor what it is to be; None where the row is what it was or is to be."""
        if verdict.leave or not any(self._same):
            return None
        if row.after is None:
            gone = row.before is not None and verdict.target is not None
            return [i for i, same in enumerate(self._same) if same] if gone else None
        if row.before is None:
            mine = [i for i, value in enumerate(row.after) if value != ABSENT and _goes(verdict, i, value)]
            return mine or None
        both = zip(self._same, row.before, row.after, strict=True)
        mine = [i for i, (same, one, two) in enumerate(both) if same and one != two and _goes(verdict, i, two)]
        return mine or None

    def _entry(
        self,
        action: Action,
        key: dict[str, str | None],
        images: dict[str, Fields],
        shown: Iterable[int],
        reason: str,
    ) -> None:
        told = {name: self._texts(image, shown) for name, image in images.items()}
        entry = LedgerEntry(component=self._component, scope=self._table.scope, action=action, key=key, reason=reason)
        self._ledger.add(entry.model_copy(update=told))

    def _texts(self, row: Fields, shown: Iterable[int]) -> dict[str, str | None] | None:
        if row is None:
            return None
        there = [i for i in shown if row[i] != ABSENT]
        return texts([self._names[i] for i in there], [row[i] for i in there])


def _goes(verdict: Verdict, i: int, value: bytes) -> bool:
    return verdict.target is None or verdict.target[i] != value
