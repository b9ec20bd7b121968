"""The rows of the tables that a rollback has touched, as they were before it, and what it made of them.

A row before the rollback is the snapshot's, or what was kept of those written since, or, where an application wrote after that, what the
transaction that replaced it has kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.blocks import Block
from rollback_provider.components.postgres.images import TableDelta, TableRows, load_deltas
from rollback_provider.components.postgres.lines import Spool, blocks_of, join, read_lines
from rollback_provider.components.postgres.reversal import Reversal, TableChange
from rollback_provider.components.postgres.reverse import Retyped
from rollback_provider.components.postgres.rows import field, key_of
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Column, Table
from rollback_provider.components.postgres.undo.done import Done
from rollback_provider.components.postgres.undo.images import Layout, both, images_of
from rollback_provider.core.component import Blobs, Progress
from rollback_provider.core.model import ComponentState

_STAGE = sql.Identifier("pg_temp", "rollback_converted")


@dataclass(frozen=True)
class Recovered:
    """A table before a rollback.

    :param rows: its rows
    :param replaced: what is laid over them: rows that were written after the snapshot
    :param left: what the rollback made of them
    """

    rows: TableRows
    replaced: TableDelta | None = None
    left: TableDelta | None = None


class Recovery:
    """Puts tables together.

    :param snapshot: where the rollback led to
    :param before: what was kept before it
    :param retyped: columns that it converted, by oid and attnum in the snapshot
    """

    def __init__(
        self,
        session: Session,
        snapshot: ComponentState,
        before: ComponentState,
        done: Done,
        retyped: Mapping[tuple[int, int], Retyped],
        blobs: Blobs,
        progress: Progress,
    ) -> None:
        self._session = session
        self._base = Base(snapshot.payload["rows"], snapshot.payload["deltas"], blobs)
        self._deltas = load_deltas(before.payload["deltas"], blobs)
        self._missing = before.payload["missing"]
        self._done = done
        self._retyped = retyped
        self._blobs = blobs
        self._progress = progress

    def tables(self, reversal: Reversal) -> list[Recovered]:
        """All tables whose rows are known; `reversal` is the rollback's."""
        return [
            *(Recovered(self._dropped(table)) for table in reversal.dropped if self._done.of_table(table.oid, "rows")),
            *(self._table(change) for change in reversal.tables if self._is_touched(change)),
        ]

    def _is_touched(self, change: TableChange) -> bool:
        return change.then.oid in self._base.tables and (
            bool(self._done.of_table(change.then.oid, "update", "delete", "insert", "refill", "reload"))
            or bool(change.added or change.retyped or None in change.columns.values())
        )

    def _dropped(self, table: Table) -> TableRows:
        """A table that the rollback has dropped: all its rows were kept."""
        blocks = [Block(**block) for change in self._done.of_table(table.oid, "rows") for block in change["blocks"]]
        return TableRows(table, tuple(blocks), None)

    def _table(self, change: TableChange) -> Recovered:
        self._progress.message(f"{change.now.scope}: putting its rows together as they were before the rollback")
        if not change.then.key or None in [change.columns[number] for number in change.then.key]:
            return self._whole(change)
        if self._done.of_table(change.then.oid, "reload"):
            return self._whole(change)
        retyped = {
            number: each
            for (oid, number), each in self._retyped.items()
            if oid == change.then.oid and (not each.by_text or each.labels or (oid, number) in self._done.emptied)
        }
        layout = Layout(change, frozenset(change.columns[number] or 0 for number in retyped))
        delta = self._deltas.get(change.then.oid)
        images = images_of(layout, self._done, self._blobs)
        if not (delta and delta.rewritten) and not retyped and self._is_laid_out_alike(change):
            return self._laid_over(layout, images)
        if retyped:
            images = both(
                layout, ([image] for image in images), self._changed_rows(change), self._converted(layout, retyped)
            )
        return self._put_together(layout, images)

    def _is_laid_out_alike(self, change: TableChange) -> bool:
        numbers = [change.columns.get(column.number) for column in change.then.stored_columns]
        return numbers == [column.number for column in change.now.stored_columns] and len(change.then.key) == len(
            change.now.key
        )

    def _changed_rows(self, change: TableChange) -> int:
        changes = self._done.of_table(change.then.oid, "update", "delete", "insert", "refill")
        return sum(block["rows"] for each in changes for block in each["blocks"])

    def _whole(self, change: TableChange) -> Recovered:
        """A table that goes back as a whole."""
        blocks = blocks_of(self._lines(change), self._blobs)
        loaded = self._done.loaded.get(change.then.oid)
        left = None
        if loaded is not None and self._done.of_table(change.then.oid, "reload"):
            left = _delta(change.now, (), (), rows=loaded, keyed=False)
        return Recovered(TableRows(change.now, blocks, None), None, left)

    def _laid_over(self, layout: Layout, images: Iterator[bytes]) -> Recovered:
        """A table whose rows are stored already, but for those written since the snapshot."""
        table, then = layout.change.now, layout.change.then.oid
        over: dict[bytes, bytes | None] = dict(self._base.overlay(then))
        delta = self._deltas.get(then)
        if delta:
            over |= {key_of(line, layout.width): line for line in self._kept(layout.change, delta)}
            over |= {key: None for lines in read_lines(delta.deleted, self._blobs) for key in lines}
        with Spool() as changed, Spool() as deleted, Spool() as spooled:
            for found in images:
                spooled.add(found)
            for key, image, line in self._base.match(then, ([image] for image in spooled), spooled.count):
                before, after = layout.laid_over(image or b"", over.get(key, line))
                over[key] = before
                (changed if after is not None else deleted).add(after if after is not None else key)
            left = self._delta_of(table, changed, deleted)
        lines = (line for line in over.values() if line is not None)
        gone = (key for key, line in over.items() if line is None)
        replaced = _delta(table, blocks_of(lines, self._blobs), blocks_of(gone, self._blobs))
        origin = self._base.origin(then)
        # Whoever has written a row since the blocks were copied is in the overlay, so they can be traced as ever.
        xmin = origin.xmin if origin.filenode == table.filenode else None
        return Recovered(TableRows(table, origin.blocks, xmin), replaced, left)

    def _put_together(self, layout: Layout, images: Iterator[bytes]) -> Recovered:
        """A table whose rows have to be written anew, because they were laid out otherwise."""
        table = layout.change.now
        with Spool() as rows, Spool() as changed, Spool() as deleted, Spool() as spooled:
            for found in images:
                spooled.add(found)
            lines = ([layout.key_of(line) + b"\t" + line] for line in self._lines(layout.change))
            batches = ([image] for image in spooled)
            for key, image, keyed in join(batches, spooled.count, lines, layout.width, outer=True):
                line = keyed[len(key) + 1 :] if keyed is not None else None
                before, after = (line, line) if image is None else layout.laid_over(image, line)
                if before is not None:
                    rows.add(before)
                if after is None and before is not None:
                    deleted.add(key_of(before, len(table.key)))
                elif after is not None and image is not None:
                    changed.add(after)
            left = self._delta_of(table, changed, deleted)
            return Recovered(TableRows(table, blocks_of(iter(rows), self._blobs), None), None, left)

    def _delta_of(self, table: Table, changed: Spool, deleted: Spool) -> TableDelta | None:
        if not changed.count and not deleted.count:
            return None
        return _delta(table, blocks_of(iter(changed), self._blobs), blocks_of(iter(deleted), self._blobs))

    # Rows right before the first step, and right before DDL ---------------------------------------------------------------

    def _lines(self, change: TableChange) -> Iterator[bytes]:
        """Rows of a table in the layout before the rollback."""
        kept = self._done.of_table(change.now.oid, "rows")
        blocks = [Block(**block) for each in kept for block in each["blocks"]]
        width = len(change.now.key)
        latest = (
            {key_of(line, width): line for lines in read_lines(blocks, self._blobs) for line in lines} if width else {}
        )
        for line in self._before(change):
            if not latest or key_of(line, width) not in latest:
                yield line
        yield from latest.values()

    def _before(self, change: TableChange) -> Iterator[bytes]:
        delta = self._deltas.get(change.then.oid)
        if delta and delta.rewritten:
            yield from self._kept(change, delta)
            return
        width = len(change.then.key)
        over = {key for lines in read_lines(delta.deleted, self._blobs) for key in lines} if delta else set()
        kept = list(self._kept(change, delta)) if delta else []
        here = {column.number: i for i, column in enumerate(change.now.stored_columns)}
        places = [here[change.columns[number] or 0] for number in change.then.key] if delta else []
        over |= {b"\t".join([line.split(b"\t")[i] for i in places]) for line in kept}
        moved = self._moved(change)
        for lines in self._base.lines(change.then.oid):
            for line in lines:
                if not over or key_of(line, width) not in over:
                    fields = line.split(b"\t")
                    yield b"\t".join([fields[i] if i is not None else value for i, value in moved])
        yield from kept

    def _moved(self, change: TableChange) -> list[tuple[int | None, bytes]]:
        """For each column before the rollback its place in a line of the snapshot, or the value that rows got when it was added."""
        was = {change.columns[c.number]: i for i, c in enumerate(change.then.stored_columns)}
        missing = self._missing.get(str(change.now.oid), {})
        return [(was.get(c.number), field(missing.get(str(c.number)))) for c in change.now.stored_columns]

    def _kept(self, change: TableChange, delta: TableDelta) -> Iterator[bytes]:
        """Rows of a delta in the layout of the table."""
        places = {number: i for i, number in enumerate(delta.order)}
        order = [places[column.number] for column in change.now.stored_columns]
        for lines in read_lines(delta.changed, self._blobs):
            for line in lines:
                fields = line.split(b"\t")
                yield b"\t".join([fields[i] for i in order])

    # Conversions ----------------------------------------------------------------------------------------------------------

    def _converted(self, layout: Layout, retyped: Mapping[int, Retyped]) -> Iterator[Sequence[bytes]]:
        """Images of all rows with what the rollback's conversion made of their values, computed by the server."""
        then = {column.number: column for column in layout.change.then.columns}
        places: list[int] = []
        declared: list[sql.Composable] = [sql.SQL(f"k{i} text") for i in range(layout.width)]
        shown: list[sql.Composable] = [sql.SQL(f"k{i}") for i in range(layout.width)]
        for number, each in sorted(retyped.items()):
            place = layout.place(number)
            if place is None:
                continue
            emptied = (layout.change.then.oid, number) in self._done.emptied
            column = layout.columns[place]
            type_ = "text" if emptied or each.labels else self._type(column)
            places.append(place)
            declared.append(sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(type_)))
            shown.append(sql.SQL(f"({'null' if emptied else each.as_then})::{then[number].type}"))
        self._session.execute(sql.SQL("drop table if exists {}").format(_STAGE))
        create = sql.SQL("create temporary table rollback_converted ({})").format(sql.SQL(", ").join(declared))
        self._session.execute(create)
        with self._session.cursor().copy(sql.SQL("copy {} from stdin").format(_STAGE)) as copy:
            for line in self._lines(layout.change):
                fields = line.split(b"\t")
                copy.write(b"\t".join(fields[i] for i in (*layout.key, *places)) + b"\n")
        query = sql.SQL("copy (select {} from {}) to stdout").format(sql.SQL(", ").join(shown), _STAGE)
        with self._session.cursor().copy(query) as copy:
            for row in copy:
                fields = bytes(row)[:-1].split(b"\t")
                values = dict(zip(places, fields[layout.width :], strict=True))
                yield [layout.image(fields[: layout.width], {}, values)]

    def _type(self, column: Column) -> str:
        """The column's type, if it is still there; else its text has to do."""
        row = self._session.execute("select to_regtype(%s) is not null", [column.type]).fetchone()
        return column.type if row and row[0] else "text"


def _delta(
    table: Table, changed: tuple[Block, ...], deleted: tuple[Block, ...], *, rows: int = 0, keyed: bool = True
) -> TableDelta:
    return TableDelta(
        then=table.oid,
        now=table,
        order=tuple(column.number for column in table.stored_columns),
        changed=changed,
        deleted=deleted,
        rows=rows,
        rewritten=False,
        keyed=keyed,
        xmin=None,
    )
