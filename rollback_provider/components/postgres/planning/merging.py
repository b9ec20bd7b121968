"""Plans the merge of one table: which rows the migration changed, inserted and deleted, and what applications have done to them since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain

import psycopg
from psycopg import sql

from rollback_provider.components.postgres.blocks import Block, Extract
from rollback_provider.components.postgres.images import TableDelta
from rollback_provider.components.postgres.lines import Spool, contents, read_lines
from rollback_provider.components.postgres.listing import list_touched
from rollback_provider.components.postgres.merge import STAGE, Child
from rollback_provider.components.postgres.planning.alignment import Alignment
from rollback_provider.components.postgres.planning.conversions import inexact
from rollback_provider.components.postgres.planning.desk import Desk
from rollback_provider.components.postgres.reversal import TableChange
from rollback_provider.components.postgres.rows import key_of, texts
from rollback_provider.components.postgres.tables import Column, Table
from rollback_provider.core.base import Json
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.model import Action, LedgerEntry

_GONE = b"\t\x00"
"""Marks the key of a deleted row; no line of COPY text holds a zero byte."""
_PAST = {"update": "changed", "delete": "inserted", "insert": "deleted"}


class TableMerge:
    """The merge of one table.

    :param surviving: columns of the snapshot that can be merged row by row
    """

    def __init__(self, desk: Desk, change: TableChange, delta: TableDelta, surviving: list[Column]) -> None:
        self._desk = desk
        self._change = change
        self._delta = delta
        horizon = desk.situation.horizon_of(delta, change.now)
        labels = desk.situation.labels(change.then.oid)
        self._alignment = Alignment.of(change, delta, surviving, inexact(desk, change), labels, horizon)

    def actions(self) -> Iterator[Json]:
        """Actions for the rows that the migration changed, inserted and deleted."""
        with Spool() as inserted, Spool() as deleted:
            yield from self._staged("update", self._changed(inserted, deleted))
            yield from self._staged("delete", iter(inserted))
            if deleted.count:
                yield from self._inserts(deleted)

    def _changed(self, inserted: Spool, deleted: Spool) -> Iterator[bytes]:
        """Stage lines of rows that the migration changed; puts the others aside: one pass over the snapshot's rows finds all."""
        delta, desk = self._delta, self._desk
        gone = ([key + _GONE for key in keys] for keys in read_lines(delta.deleted, desk.blobs))
        left = chain(read_lines(delta.changed, desk.blobs), gone)
        rows = sum(block.rows for block in (*delta.changed, *delta.deleted))
        for _, line, before in desk.situation.base.match(self._change.then.oid, left, rows):
            assert line is not None  # noqa: S101  every result has a left side
            if line.endswith(_GONE):
                if before is not None:
                    deleted.add(before)
                continue
            now = line.split(b"\t")
            if before is None:
                inserted.add(self._alignment.line(None, now))
            elif self._alignment.columns and self._alignment.differs(old := self._alignment.as_now(before), now):
                yield self._alignment.line(old, now)

    def _staged(self, op: str, lines: Iterator[bytes]) -> Iterator[Json]:
        """Stages rows, lists what applications have done to them since, and keeps as blobs what is left to do."""
        desk, then, alignment = self._desk, self._change.then, self._alignment
        merge = alignment.merge
        rows = desk.stage(merge, merge.stage(), self._attributed(op, lines))
        if not rows:
            return
        self._choose(op)
        desk.ledger.examined(desk.component, then.scope, rows)
        places = self._to_write() if op == "update" else range(len(alignment.columns))
        self._list(op, merge.image(places))
        desk.session.execute(merge.done() if op == "update" else merge.gone())
        for i in alignment.inexact:
            retyped = desk.situation.retyped[then.oid, alignment.columns[i].number]
            desk.session.execute(alignment.convert(i, retyped))
        for i in alignment.labels:
            desk.session.execute(alignment.relabel(i))
        extract = Extract("stage", merge.staged(places).as_string(desk.session), 0)
        blocks = desk.copier.run([extract], desk.blobs, desk.progress, f"rows to {op}")["stage"].blocks
        if blocks:
            columns = [alignment.columns[i] for i in places]
            action = _action(op, then, columns, blocks)
            if op == "delete":
                yield action | {"children": self._children(), "beside": self._beside()}
            else:
                yield action | {"blockable": self._is_blockable(columns)}

    def _to_write(self) -> list[int]:
        """Places of the columns that the migration has changed in some row: the others need not be carried along."""
        alignment = self._alignment
        row = self._desk.session.execute(alignment.merge.changed()).fetchone() or ()
        return [i for i, changed in enumerate(row) if changed or i in alignment.inexact]

    def _is_blockable(self, columns: Sequence[Column]) -> bool:
        """Whether other rows may stand in the way of values of these columns, or lack what these refer to, and it may be tried again.

        Not where rows of other tables follow a value when it changes: those that are back already would follow it, too.
        """
        numbers = {column.number for column in columns}
        now = [self._change.columns[number] for number in numbers]
        oid = self._change.now.oid
        followed = self._desk.session.execute(
            "select from pg_constraint where confrelid = %s and contype = 'f' and confupdtype in ('c', 'n', 'd')"
            " and confkey && %s::int2[] limit 1",
            [oid, now],
        ).fetchone()
        if followed is not None:
            return False
        if any(numbers.intersection(key.columns) for key in self._change.then.foreign_keys):
            return True
        row = self._desk.session.execute(
            "select from pg_index where indrelid = %s and (indisunique or indisexclusion)"
            " and (0 = any(indkey) or indkey::int2[] && %s::int2[]) limit 1",
            [oid, now],
        ).fetchone()
        return row is not None

    def _is_deferrable(self) -> bool:
        """Whether the table has a unique or exclusion constraint that can be deferred: ON CONFLICT does not know such."""
        row = self._desk.session.execute(
            "select from pg_constraint where conrelid = %s and contype in ('p', 'u', 'x') and condeferrable limit 1",
            [self._change.now.oid],
        ).fetchone()
        return row is not None

    def _inserts(self, deleted: Spool) -> Iterator[Json]:
        """Rows that the migration deleted, as they were; those whose key is taken again are listed and left out."""
        desk, then, merge = self._desk, self._change.then, self._alignment.merge
        rows = desk.stage(
            merge, merge.stage(), (self._alignment.staged_insert(self._alignment.as_now(line)) for line in deleted)
        )
        self._choose("insert")
        desk.ledger.examined(desk.component, then.scope, rows)
        names = [column.name for column in then.key_columns]
        for row in desk.session.execute(merge.taken()).fetchall():
            desk.conflicts += 1
            desk.ledger.add(
                LedgerEntry(
                    component=desk.component,
                    scope=then.scope,
                    action=Action.CONFLICT_KEPT,
                    key=dict(zip(names, row[: len(names)], strict=True)),
                    now=dict(zip((c.name for c in self._alignment.columns), row[len(names) :], strict=True)),
                    reason="deleted by the migration, its key is taken again",
                )
            )
        taken = set(desk.read(merge.present()))
        lines = (line for line in deleted if key_of(line, len(names)) not in taken)
        if then.oid in desk.situation.rows:
            chosen = set(desk.read(merge.keys()))
            lines = (line for line in lines if key_of(line, len(names)) in chosen)
        blocks: list[Block] = []
        for content in contents(self._attributed("insert", lines)):
            ref = desk.blobs.put_blob(content)
            blocks.append(Block(ref.digest, ref.size, content.count(b"\n"), ""))
        if blocks:
            action = _action("insert", then, then.stored_columns[len(names) :], blocks)
            yield action | {"beside": self._beside(), "deferrable": self._is_deferrable()}

    def _choose(self, op: str) -> None:
        """Takes rows that the policy does not choose off the stage: by the snapshot's values, or, where it has none, the migration's."""
        desk, oid = self._desk, self._change.then.oid
        predicate = desk.situation.rows.get(oid)
        if predicate is None:
            return
        table = desk.situation.base.tables[oid].table
        image = "n" if op == "delete" else "o"
        shown = [
            sql.SQL("s.{} as {}").format(sql.SQL(f"k{i}"), sql.Identifier(column.name))
            for i, column in enumerate(table.key_columns)
        ]
        names = {column.number: column.name for column in table.columns}
        shown += [
            sql.SQL("s.{}::{} as {}").format(
                sql.SQL(f"{image}{i}"), sql.SQL(column.type), sql.Identifier(names[column.number])
            )
            for i, column in enumerate(self._alignment.columns)
        ]
        statement = sql.SQL("delete from {} s where not coalesce((select ({}) from (select {}) chosen), false)").format(
            STAGE, sql.SQL(predicate), sql.SQL(", ").join(shown)
        )
        try:
            desk.session.execute(statement)
        except psycopg.Error as error:
            raise ConfigurationError(
                f"`rows` of {table.scope}: {error.diag.message_primary}", component=desk.component
            ) from error

    def _list(self, op: str, image: sql.Composed) -> None:
        """Lists what applications have done to the stage's rows, and notes in the stage what was listed and what was approved.

        :param image: digest of a row's columns that will be compared again when the plan is executed
        """
        desk, merge = self._desk, self._alignment.merge
        keep = desk.situation.policy.conflicts != "restore"
        scope = (desk.component, self._change.then.scope)
        desk.conflicts += list_touched(desk.session, merge, scope, desk.ledger, deleting=op == "delete", keep=keep)
        desk.session.execute(merge.mark_gone())
        desk.session.execute(merge.mark_seen(image))
        if not keep:
            for i in range(len(merge.columns)):
                desk.session.execute(merge.approve_now(i, unless_equal=op == "update"))

    def _attributed(self, op: str, lines: Iterator[bytes]) -> Iterator[bytes]:
        """Passes lines through; where no checkpoint tells whose changes they are, lists each."""
        if self._desk.situation.attributes(self._change.then.oid):
            yield from lines
            return
        names = [c.name for c in self._change.then.stored_columns]
        width = len(self._change.then.key)
        for line in lines:
            self._desk.refuse_ambiguous(self._change)
            key = texts(names[:width], line.split(b"\t", width)[:width])
            before, now = (
                (texts(names, line.split(b"\t")), None)
                if op == "insert"
                else self._alignment.images(line, deleting=op == "delete")
            )
            self._desk.list_ambiguous(
                self._change, key, before, now, f"{_PAST[op]} since the snapshot, by whom is not known"
            )
            yield line

    def _beside(self) -> list[Json]:
        """Columns that the snapshot does not know and that stay, because the schema does."""
        known = {*self._change.columns.values(), *self._change.added}
        return [asdict(c) for c in self._change.now.columns if c.number not in known and not c.generated]

    def _children(self) -> list[Json]:
        """Who refers to the table: foreign keys of the snapshot, and those there are now in whatever schema, as they will be named."""
        then = self._change.then
        tables = {rows.table.oid: rows.table for rows in self._desk.situation.base.tables.values()}
        tables |= {change.then.oid: change.then for change in self._desk.situation.reversal.tables}
        found = {
            Child(child.schema, child.name, tuple(pairs), child.oid == then.oid)
            for child in tables.values()
            for key in child.foreign_keys
            if key.references == then.oid
            and (
                pairs := [
                    (mine.name, theirs.name)
                    for m, t in zip(key.columns, key.references_columns, strict=True)
                    if (mine := child.column(m)) and (theirs := then.column(t))
                ]
            )
        }
        live = self._desk.session.execute(
            "select k.conrelid, n.nspname, c.relname, array(select a.attname::text from unnest(k.conkey) with ordinality x(n, i)"
            " join pg_attribute a on (a.attrelid, a.attnum) = (k.conrelid, x.n) order by i),"
            " array(select a.attname::text from unnest(k.confkey) with ordinality x(n, i)"
            " join pg_attribute a on (a.attrelid, a.attnum) = (k.confrelid, x.n) order by i)"
            " from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace"
            " where k.contype = 'f' and k.conparentid = 0"
            " and (k.confrelid = %(oid)s or k.confrelid in (select relid from pg_partition_ancestors(%(oid)s)))",
            {"oid": self._change.now.oid},
        ).fetchall()
        renamed = {
            column.name: then_column.name
            for then_column in then.columns
            if (column := self._change.now.column(self._change.columns.get(then_column.number) or 0))
        }
        by_now = {change.now.oid: change for change in self._desk.situation.reversal.tables}
        for oid, schema, name, mine, theirs in live:
            if oid not in by_now:
                matched = tuple(zip(mine, (renamed.get(column, column) for column in theirs), strict=True))
                found.add(Child(schema, name, matched, itself=False))
        return [asdict(child) for child in sorted(found, key=lambda child: (child.schema, child.name, child.pairs))]


def _action(op: str, table: Table, columns: Sequence[Column], blocks: Sequence[Block]) -> Json:
    return {
        "do": "merge",
        "op": op,
        "table": table.to_json(),
        "columns": [column.number for column in columns],
        "blocks": [asdict(block) for block in blocks],
        "rows": sum(block.rows for block in blocks),
    }
