"""What a rollback leads to where a tool has downgraded the database first: as a base and a checkpoint, from which the engine plans.

Each row goes to what `settling` makes of it. In the base it stands so; in the checkpoint it stands as the downgrade has left it, so that
what applications write from then on is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.blocks import total
from rollback_provider.components.postgres.downgrade.listing import Known, Lister
from rollback_provider.components.postgres.downgrade.moments import Moment, Rows, side_by_side
from rollback_provider.components.postgres.downgrade.settling import settle
from rollback_provider.components.postgres.images import TableDelta, load_deltas, save_deltas
from rollback_provider.components.postgres.lines import blocks_of, read_lines
from rollback_provider.components.postgres.rows import key_of
from rollback_provider.components.postgres.sequences import is_behind
from rollback_provider.components.postgres.tables import Table
from rollback_provider.components.postgres.view import catalog_of
from rollback_provider.core.component import Blobs
from rollback_provider.core.errors import UnsupportedError
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import ComponentState


@dataclass(frozen=True)
class Aim:
    """What is known before the downgrade.

    :param snapshot: of before the migration
    :param left: what the migration changed of it: its checkpoint
    """

    component: str
    snapshot: ComponentState
    left: ComponentState
    blobs: Blobs

    @property
    def base(self) -> Base:
        """The rows right before the migration."""
        return Base(self.snapshot.payload["rows"], self.left.payload["catchUp"], self.blobs)

    def refuse_untold(self, before: ComponentState) -> None:
        """Raises UnsupportedError where applications have written what could not be told from a downgrade's doing, or not be brought back.

        That is to tables without a key that the migration left alone, and to columns whose type it has changed.
        """
        left, now = self._moments(self.left, before)
        found = []
        for oid, stored in self.base.tables.items():
            if oid not in now.changes:
                continue
            sides = Rows(left, stored.table, self.blobs), Rows(now, stored.table, self.blobs)
            if not _keyed(stored.table, *sides):
                if _content(sides[0]) != _content(sides[1]):
                    found.append(f"{stored.table.scope}, which has no key that the migration left alone")
            else:
                names = _converted(self.base, stored.table, *sides)
                found += [f"{stored.table.scope}.{name}, whose type the migration has changed" for name in names]
        if found:
            raise UnsupportedError(
                f"Applications have written to {'; '.join(found)}: what a downgrade does to that could not be taken back",
                component=self.component,
                next_step="Generate without the downgrade",
            )

    def checkpoint(
        self,
        before: ComponentState,
        after: ComponentState,
        ledger: LedgerWriter,
        *,
        listed: Known,
        owned: Callable[[str], bool],
    ) -> ComponentState:
        """The checkpoint to plan from. Lists what somebody changed while the tool ran and what goes: the tool itself, or an application.

        :param before: what differs from the base right before the downgrade
        :param after: and right after it
        :param listed: rows of which the plan has listed that migration and applications have both changed them
        :param owned: whether a table is the tool's own
        """
        moments = self._moments(self.left, before, after)
        caught_up = load_deltas(self.left.payload["catchUp"], self.blobs)
        deltas, base = dict(moments[2].deltas), self.base
        for oid, stored in base.tables.items():
            sides = [Rows(moment, stored.table, self.blobs) for moment in moments]
            if not _keyed(stored.table, *sides[:2]):
                continue  # nobody but the migration has written to it
            lister = None
            if not sides[2].keyed:
                sides[2] = Rows.none(stored.table, self.blobs)  # it goes back as a whole
            elif not owned(stored.table.scope):
                lister = Lister(self.component, stored.table, ledger, listed, same=sides[1].same_columns(sides[2]))
            found = _TableTarget(stored.table, sides[0], sides[1], sides[2], self.blobs)
            found.settle(base, lister)
            if found.over:
                caught_up[oid] = found.caught_up(base, caught_up.get(oid))
            if delta := found.delta():
                deltas[oid] = delta
        payload = after.payload | {
            "catchUp": save_deltas(caught_up.values(), self.blobs),
            "deltas": save_deltas(deltas.values(), self.blobs),
            "own": [],
        }
        return after.model_copy(update={"payload": payload})

    def snapshot_with(self, before: ComponentState) -> ComponentState:
        """The snapshot, with sequences where applications have moved them since: the downgrade may have made them anew."""
        then, later = self.snapshot.payload["sequences"], before.payload["sequences"]
        moved = {name: later[name] for name, value in then.items() if name in later and is_behind(value, later[name])}
        return self.snapshot.model_copy(update={"payload": self.snapshot.payload | {"sequences": then | moved}})

    def _moments(self, *states: ComponentState) -> list[Moment]:
        then = catalog_of(self.snapshot, self.blobs)
        return [Moment.of(then, state, self.blobs) for state in states]


class _TableTarget:
    """The rows of one table that do not go to what the base holds, or that stand otherwise in the checkpoint than they were read."""

    def __init__(self, table: Table, left: Rows, before: Rows, after: Rows, blobs: Blobs) -> None:
        self._table = table
        self._left, self._before, self._after = left, before, after
        self._blobs = blobs
        self.over: dict[bytes, bytes | None] = {}
        self._left_alone: set[bytes] = set()
        self._added: list[bytes] = []
        self._deleted: list[bytes] = []

    def settle(self, base: Base, lister: Lister | None) -> None:
        """Goes through the rows, and lists what goes."""
        for row in side_by_side(base, self._table, self._left, self._before, self._after):
            verdict = settle(row, self._before.defaults)
            if verdict.target != row.base:
                self.over[row.key] = None if verdict.target is None else b"\t".join(verdict.target)
                if row.unread:
                    if row.base is None:
                        self._deleted.append(row.key)
                    else:
                        self._added.append(self._after.line_of(row.base))
            if verdict.leave:
                self._left_alone.add(row.key)
            if lister:
                lister.add(row, verdict)

    def caught_up(self, base: Base, known: TableDelta | None) -> TableDelta:
        """The base's rows with those laid over it."""
        table, width = self._table, len(self._table.key)
        lines = {**base.overlay(table.oid), **self.over}
        whole: Iterator[bytes] = iter(())
        if known and known.rewritten:
            whole = (line for part in base.lines(table.oid) for line in part if key_of(line, width) not in lines)
        laid = (line for line in lines.values() if line is not None)
        return TableDelta(
            then=table.oid,
            now=known.now if known else table,
            order=tuple(column.number for column in table.stored_columns),
            changed=(*blocks_of(whole, self._blobs), *blocks_of(laid, self._blobs)),
            deleted=blocks_of((key for key, line in lines.items() if line is None), self._blobs),
            rows=0,
            rewritten=bool(known and known.rewritten),
            keyed=True,
            xmin=None,
        )

    def delta(self) -> TableDelta | None:
        """What the checkpoint says of the table, where that is not what was read."""
        found = self._after.delta
        if found is None or not (self._left_alone or self._added or self._deleted):
            return None
        changed = found.changed
        if self._left_alone:
            width = len(self._table.key)
            lines = (line for part in read_lines(changed, self._blobs) for line in part)
            changed = blocks_of((line for line in lines if key_of(line, width) not in self._left_alone), self._blobs)
        return replace(
            found,
            changed=(*changed, *blocks_of(self._added, self._blobs)),
            deleted=(*found.deleted, *blocks_of(self._deleted, self._blobs)),
            xmin=None,
        )


def _keyed(table: Table, *sides: Rows) -> bool:
    """Whether its rows can be told apart at all these moments."""
    return bool(table.key) and all(side.keyed for side in sides)


def _content(side: Rows) -> tuple[tuple[int, ...], int, str] | None:
    """What tells whether the same rows differ from the base."""
    delta = side.delta
    if delta is None or not (delta.changed or delta.rewritten):
        return None
    return delta.order, sum(block.rows for block in delta.changed), total(block.checksum for block in delta.changed)


def _converted(base: Base, table: Table, left: Rows, before: Rows) -> list[str]:
    """Columns of another type than in the snapshot that applications have written to since the migration."""
    found: set[int] = set()
    for row in side_by_side(base, table, left, before, before) if any(before.foreign) else ():
        if row.before is not None and row.before != row.left:
            old = row.left or [b""] * len(row.before)
            found.update(i for i, value in enumerate(row.before) if before.foreign[i] and value != old[i])
    return [table.stored_columns[i].name for i in sorted(found)]
