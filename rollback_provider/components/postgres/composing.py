"""Two migrations as one: their snapshots and checkpoints composed, table by table, from what is stored.

A table that only one of them has touched is as that one left it. Where both have changed rows of a table, the rows of the later snapshot
are taken with the earlier migration undone in them, column by column: a value that the earlier one left goes back to what it was; one that
an application wrote between the two stays, and is listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.blocks import Block
from rollback_provider.components.postgres.catalog.entry import CLASS_RELATION
from rollback_provider.components.postgres.delta import written_alike
from rollback_provider.components.postgres.horizon import Horizon
from rollback_provider.components.postgres.images import TableDelta, TableRows, load_deltas, save_deltas, save_rows
from rollback_provider.components.postgres.lines import blocks_of, join, read_lines
from rollback_provider.components.postgres.rows import NULL, key_of, texts
from rollback_provider.components.postgres.tables import Column, Table
from rollback_provider.components.postgres.view import catalog_of
from rollback_provider.core.base import Json
from rollback_provider.core.component import Blobs
from rollback_provider.core.errors import ConflictError, UnsupportedError
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import Action, ComponentState, LedgerEntry, Policy

_GONE = b"\x00"
"""In the place of the fields of a row that is not there; no line of COPY text holds a zero byte."""
Fields = list[bytes] | None


def compose(
    component: str,
    earlier: tuple[ComponentState, ComponentState],
    later: tuple[ComponentState, ComponentState],
    policy: Policy,
    blobs: Blobs,
    ledger: LedgerWriter,
) -> tuple[ComponentState, ComponentState]:
    """One snapshot and checkpoint of two migrations' snapshots and checkpoints. Raises UnsupportedError, ConflictError."""
    first, second = Migration(*earlier, blobs), Migration(*later, blobs)
    rows, changes = Composer(component, first, second, policy, blobs, ledger).payload()
    before = earlier[0].payload | {"rows": rows, "deltas": changes["catchUp"]}
    return (
        earlier[0].model_copy(update={"payload": before}),
        later[1].model_copy(update={"payload": later[1].payload | changes}),
    )


class Migration:
    """One migration as it is stored: the state before it, and what it changed of that."""

    def __init__(self, snapshot: ComponentState, checkpoint: ComponentState, blobs: Blobs) -> None:
        payload = checkpoint.payload
        self.payload = payload
        then, now = catalog_of(snapshot, blobs), catalog_of(checkpoint, blobs)
        self.before, self.after = ({table.oid: table for table in catalog.tables()} for catalog in (then, now))
        self._catalog = then
        self.base = Base(snapshot.payload["rows"], payload["catchUp"], blobs)
        self.caught_up = load_deltas(payload["catchUp"], blobs)
        self.deltas = load_deltas(payload["deltas"], blobs)

    def labels(self, table: int, column: int) -> list[Json]:
        """The labels that values of a column could have before it."""
        entry = self._catalog.by_ref[CLASS_RELATION, table, column]
        types = (self._catalog.by_ref.get(ref) for ref in entry.refs.get("type", ()))
        return [each.facts["labels"] for each in types if each is not None and each.kind == "enum"]

    def has_touched(self, oid: int) -> bool:
        """Whether it changed rows of a table, or its columns."""
        return oid in self.deltas or not alike(self.before.get(oid), self.after.get(oid))


def alike(one: Table | None, other: Table | None) -> bool:
    """Whether rows of both look alike as lines."""
    if one is None or other is None:
        return one is other
    pairs = list(zip(one.stored_columns, other.stored_columns, strict=False))
    return (
        one.key == other.key
        and len(one.stored_columns) == len(other.stored_columns)
        and all(a.number == b.number and _reads_alike(a, b) for a, b in pairs)
    )


def _reads_alike(one: Column, other: Column) -> bool:
    return one.type == other.type or written_alike(one.type, other.type)


class Composer:
    """Composes two migrations of one component."""

    def __init__(
        self, component: str, first: Migration, second: Migration, policy: Policy, blobs: Blobs, ledger: LedgerWriter
    ) -> None:
        self._component = component
        self._first, self._second = first, second
        self._policy = policy
        self._blobs = blobs
        self._ledger = ledger

    def payload(self) -> tuple[str, Json]:
        """The composed rows, and what the composed checkpoint says of them. Raises UnsupportedError, ConflictError."""
        self._refuse_untold()
        rows: list[TableRows] = []
        caught_up: list[TableDelta | None] = []
        deltas: list[TableDelta | None] = []
        for oid, stored in self._first.base.tables.items():
            table, latest = stored.table, self._second.before.get(oid)
            if not self._second.has_touched(oid) or latest is None:
                rows.append(stored)
                caught_up.append(self._first.caught_up.get(oid))
                deltas.append(self._first.deltas.get(oid))
                continue
            self._refuse_unlike(table, latest)
            whole, over, left = self._composed(table, latest)
            rows.append(whole)
            caught_up.append(over)
            deltas.append(left)
        horizons = [Horizon.of(self._first.payload), Horizon.of(self._second.payload)]
        untold = any(each.payload["own"] is None for each in (self._first, self._second))
        return save_rows(rows, self._blobs), {
            "catchUp": save_deltas(filter(None, caught_up), self._blobs),
            "deltas": save_deltas(filter(None, deltas), self._blobs),
            "xmin": horizons[0].xmin,
            "own": [*horizons[0].own, *horizons[1].own],
            "vouched": untold,
            "contested": [d for each in (self._first, self._second) for d in each.payload.get("contested", ())],
            "notes": [n for each in (self._first, self._second) for n in each.payload.get("notes", ())],
        }

    def _refuse_untold(self) -> None:
        oids = {oid for each in (self._first, self._second) for oid in each.payload.get("untold", ())}
        if oids:
            names = sorted(rows.table.scope for oid, rows in self._first.base.tables.items() if oid in oids)
            raise UnsupportedError(
                f"It is not known which changes of {', '.join(names)} are a migration's: what is whose cannot be told in one rollback",
                component=self._component,
            )

    def _refuse_unlike(self, table: Table, latest: Table) -> None:
        delta, caught_up = self._first.deltas.get(table.oid), self._second.caught_up.get(table.oid)
        columns = {column.number: column for column in latest.stored_columns}
        lost = [
            column.name
            for column in table.stored_columns
            if column.number not in columns
            or not _reads_alike(column, columns[column.number])
            or self._first.labels(table.oid, column.number) != self._second.labels(table.oid, column.number)
        ]
        if lost or not table.key or table.key != latest.key:
            what = f"the earlier one its columns {', '.join(lost)}" if lost else "it has no key that both leave alone"
            raise UnsupportedError(
                f"Both migrations have changed table {table.scope}, and {what}: what is whose cannot be told in one rollback",
                component=self._component,
            )
        if (delta and not delta.keyed) or (caught_up and caught_up.rewritten):
            raise UnsupportedError(
                f"Table {table.scope} was rewritten, and both migrations have changed it: what is whose cannot be told in one rollback",
                component=self._component,
            )

    def _composed(self, table: Table, latest: Table) -> tuple[TableRows, TableDelta, TableDelta | None]:
        """Rows of the later snapshot with the earlier migration undone, and what the later one made of all that."""
        oid, base = table.oid, self._second.base
        there = {column.number: i for i, column in enumerate(latest.stored_columns)}
        places = [there[column.number] for column in table.stored_columns]
        if len(there) == len(places):
            blocks, over = base.tables[oid].blocks, dict(base.overlay(oid))
        else:
            cut = (_cut(line, places) for lines in base.lines(oid) for line in lines)
            blocks, over = blocks_of(cut, self._blobs), {}
        left = self._second.deltas.get(oid)
        known = self._known(left, len(table.key))
        order = left.order if left else tuple(column.number for column in latest.stored_columns)
        changed: list[bytes] = []
        deleted: list[bytes] = []
        for key, then, made, whole in self._rows(table) if oid in self._first.deltas else ():
            found = [whole[i] for i in places] if whole else None
            back = self._settle(table, key, then, made, found)
            over[key] = None if back is None else b"\t".join(back)
            if key in known:
                continue
            if whole is not None:
                changed.append(b"\t".join(whole[there[n]] if n in there else NULL for n in order))
            elif back is not None:
                deleted.append(key)
        return (
            TableRows(table, blocks, None),
            _delta(
                table,
                tuple(column.number for column in table.stored_columns),
                blocks_of((line for line in over.values() if line is not None), self._blobs),
                blocks_of((key for key, line in over.items() if line is None), self._blobs),
            ),
            self._left(left or _delta(self._second.after.get(oid, latest), order, (), ()), changed, deleted),
        )

    def _left(self, left: TableDelta, changed: list[bytes], deleted: list[bytes]) -> TableDelta | None:
        """The later checkpoint's delta, with the rows in it that the earlier migration alone has changed."""
        if not (changed or deleted or left.changed or left.deleted):
            return None
        return replace(
            left,
            changed=(*left.changed, *blocks_of(changed, self._blobs)),
            deleted=(*left.deleted, *blocks_of(deleted, self._blobs)),
        )

    def _known(self, left: TableDelta | None, width: int) -> set[bytes]:
        """Keys of rows of which the later checkpoint tells what became of them."""
        blocks = (*left.changed, *left.deleted) if left else ()
        return {key_of(line, width) for lines in read_lines(blocks, self._blobs) for line in lines}

    def _rows(self, table: Table) -> Iterator[tuple[bytes, Fields, Fields, Fields]]:
        """Rows that the earlier migration changed: key, before it, as it left them, and before the later one."""
        width, size = len(table.key), len(table.stored_columns)
        delta = self._first.deltas[table.oid]
        places = [delta.order.index(column.number) for column in table.stored_columns]
        gone = ([key + b"\t" + _GONE for key in keys] for keys in read_lines(delta.deleted, self._blobs))
        made = chain(read_lines(delta.changed, self._blobs), gone)
        rows = sum(block.rows for block in (*delta.changed, *delta.deleted))

        def pairs() -> Iterator[Sequence[bytes]]:
            for key, line, before in join(made, rows, self._first.base.lines(table.oid), width):
                fields = (line or b"").split(b"\t")
                after = [_GONE] * size if fields[-1] == _GONE else [fields[i] for i in places]
                then = before.split(b"\t") if before is not None else [_GONE] * size
                if then != after:
                    yield [b"\t".join([key, *then, *after])]

        for key, pair, found in join(pairs(), rows, self._second.base.lines(table.oid), width):
            fields = (pair or b"").split(b"\t")[width:]
            yield key, _row(fields[:size]), _row(fields[size:]), None if found is None else found.split(b"\t")

    def _settle(self, table: Table, key: bytes, then: Fields, made: Fields, found: Fields) -> Fields:
        """What a row would be, had the earlier migration been taken back before the later one began."""
        if found in (made, then):
            return then
        names = [column.name for column in table.stored_columns]
        if then is None or made is None or found is None:
            return self._decide(table, key, (then, made, found), names)
        clashes = [
            name for name, o, n, now in zip(names, then, made, found, strict=True) if o != n and now not in (o, n)
        ]
        if clashes:
            self._decide(table, key, (then, made, found), clashes)
        restored = self._policy.conflicts == "restore"
        return [
            now if o == n or (now != n and not restored) else o for o, n, now in zip(then, made, found, strict=True)
        ]

    def _decide(self, table: Table, key: bytes, images: tuple[Fields, Fields, Fields], shown: Sequence[str]) -> Fields:
        """Lists a row that an application has changed between the migrations; gives the row that stays."""
        if self._policy.conflicts == "fail":
            raise ConflictError(
                f"A row of {table.scope} was changed by a migration, then by an application, before the next migration",
                component=self._component,
            )
        restored = self._policy.conflicts == "restore"
        names = [column.name for column in table.stored_columns]
        before, migrated, now = (
            None if row is None else {n: v for n, v in texts(names, row).items() if n in shown} for row in images
        )
        self._ledger.add(
            LedgerEntry(
                component=self._component,
                scope=table.scope,
                action=Action.CONFLICT_RESTORED if restored else Action.CONFLICT_KEPT,
                key=texts(names[: len(table.key)], key.split(b"\t")),
                before=before,
                migrated=migrated,
                now=now,
                reason="changed by the migration and again before the next migration",
            )
        )
        return images[0] if restored else images[2]


def _cut(line: bytes, places: Sequence[int]) -> bytes:
    fields = line.split(b"\t")
    return b"\t".join([fields[i] for i in places])


def _delta(table: Table, order: tuple[int, ...], changed: tuple[Block, ...], deleted: tuple[Block, ...]) -> TableDelta:
    return TableDelta(table.oid, table, order, changed, deleted, rows=0, rewritten=False, keyed=True, xmin=None)


def _row(fields: list[bytes]) -> Fields:
    return None if fields[0] == _GONE else fields
