"""Plans the data half of a rollback: which rows go back, what applications have done to them since, and in which order.

Reads the database in one REPEATABLE READ transaction with temporary tables, writes the rows to merge as blobs, and
changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, replace

from psycopg import sql

from rollback_provider.components.postgres.actions import lines_of
from rollback_provider.components.postgres.catalog.sql_text import ident
from rollback_provider.components.postgres.horizon import Horizon, current_xmin
from rollback_provider.components.postgres.images import TableDelta
from rollback_provider.components.postgres.merge import Merge
from rollback_provider.components.postgres.planning.alignment import Columns, key_now
from rollback_provider.components.postgres.planning.conversions import refuse_lost_values, there_and_back
from rollback_provider.components.postgres.planning.desk import Desk
from rollback_provider.components.postgres.planning.keyless import reload
from rollback_provider.components.postgres.planning.merging import TableMerge
from rollback_provider.components.postgres.planning.order import deferring, parents_first
from rollback_provider.components.postgres.reversal import Statement, TableChange
from rollback_provider.components.postgres.reverse import Labels
from rollback_provider.components.postgres.salvage import Salvage, left_by_migration, unless_loaded
from rollback_provider.components.postgres.tables import Column, name_of
from rollback_provider.core.base import Json
from rollback_provider.core.errors import ConfigurationError, ConflictError, UnsupportedError
from rollback_provider.core.model import Action

_READS = re.compile(r"VALIDATE CONSTRAINT|ADD CONSTRAINT|SET NOT NULL|CREATE (?:UNIQUE )?INDEX")


class DataPlanner:
    """Makes the actions of the data half, and the ledger."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._situation = desk.situation

    def actions(self) -> list[Json]:
        """The data actions in order: deletions, children first; insertions, parents first; updates, which may refer to what was inserted.

        Raises UnsupportedError and ConflictError, both naming what stands in the way.
        """
        self._refuse_unknown_fill()
        if self._situation.rows and not self._situation.attributed:
            raise UnsupportedError(
                "Rows can only be chosen where a checkpoint tells what the migration changed",
                component=self._desk.component,
            )
        deletes: list[Json] = []
        updates: list[Json] = []
        inserts: list[Json] = []
        for change in parents_first(self._situation.reversal.tables):
            for action in self._table(change):
                {"delete": deletes, "insert": inserts}.get(str(action.get("op")), updates).append(action)
        self._refuse()
        return deletes[::-1] + deferring(inserts) + updates

    def salvage(self) -> list[Json]:
        """Lists what has no place in the snapshot's schema, and gives the actions that list what is added until the tables are locked."""
        actions = [
            self._salvage(Salvage(table, table.stored_columns, self._horizon(table.oid)), None)
            for table in self._situation.reversal.dropped
        ]
        for change in self._situation.reversal.tables:
            added = tuple(c for c in change.now.columns if c.number in change.added and not c.generated)
            delta = self._situation.deltas.get(change.then.oid)
            if added:
                actions.append(self._salvage(Salvage(change.now, added, self._horizon(change.then.oid)), delta))
            actions += [self._salvage(lossy, delta) for lossy in self._lossy(change)]
        return actions

    def _horizon(self, oid: int) -> Horizon | None:
        return self._situation.since if self._situation.attributes(oid) else None

    def _lossy(self, change: TableChange) -> Iterator[Salvage]:
        """Values of columns that are converted back, as far as the old type cannot hold them."""
        for number in sorted(change.retyped):
            retyped = self._situation.retyped[change.then.oid, number]
            now = change.now.column(change.columns[number] or 0)
            if now is None or retyped.by_text:
                continue
            emptied = (change.then.oid, number) in self._situation.unconvertible
            kept = f"null::{now.type}" if emptied else there_and_back(self._desk.session, retyped, now)
            yield Salvage(
                change.now,
                (now,),
                self._horizon(change.then.oid),
                {now.number: kept},
                f"type {retyped.type} cannot hold this value",
            )

    def loads(self) -> list[Json]:
        """Tables to be filled again, with the DDL around it. Raises UnsupportedError where their rows are not known."""
        self._desk.refusals += [
            f"table {each.table.scope} was dropped, and its rows are not in the snapshot"
            for each in self._situation.reversal.recreations
            if each.table.oid not in self._situation.base.tables
        ]
        self._refuse()
        return [
            {
                "do": "recreate",
                "table": recreation.table.to_json(),
                "create": [asdict(statement) for statement in recreation.create],
                "complete": [asdict(statement) for statement in recreation.complete],
                "rows": self._situation.base.rows(recreation.table.oid),
            }
            for recreation in self._situation.reversal.recreations
        ]

    def read_at_the_end(self) -> int:
        """Rows of the largest table that a statement of the last phase reads whole: to validate a constraint, to build an index."""
        statements = [statement.sql for statement in self._situation.reversal.finish if _READS.search(statement.sql)]
        rows = {
            ident(change.then.schema, change.then.name): self._situation.base.rows(change.then.oid)
            for change in self._situation.reversal.tables
            if change.then.oid in self._situation.base.tables
        }
        found = [[count for name, count in rows.items() if name in statement] for statement in statements]
        return max((max(counts or rows.values(), default=0) for counts in found), default=0)

    def _refuse(self) -> None:
        if self._desk.refusals:
            raise UnsupportedError(
                "This migration's data cannot be taken back: " + "; ".join(self._desk.refusals),
                component=self._desk.component,
                next_step="Restore these tables by hand from the snapshot: rollbackctl export",
            )
        if self._desk.conflicts and self._situation.policy.conflicts == "fail":
            raise ConflictError(
                f"{self._desk.conflicts:,} rows were changed by the migration and by applications since",
                component=self._desk.component,
            )

    def _table(self, change: TableChange) -> Iterator[Json]:
        delta = self._situation.deltas.get(change.then.oid)
        columns = Columns.of(change, delta, self._situation)
        if change.then.oid not in self._situation.base.tables:
            if columns.missing or columns.emptied or columns.added_again:
                self._desk.refusals.append(
                    f"columns of {change.then.scope} were changed, and its rows are not in the snapshot"
                )
            return
        yield from self._rows(change, delta, columns)
        if fill := self._fill(change, [*columns.missing, *self._loosened(change)]):
            yield {
                "do": "sql",
                "op": "fill",
                "table": change.then.to_json(),
                "columns": [],
                "statements": fill,
                "last": False,
                "rows": 0,
            }

    def _rows(self, change: TableChange, delta: TableDelta | None, columns: Columns) -> Iterator[Json]:
        for column in columns.emptied:
            refuse_lost_values(self._desk, change, column)
        refill = [*columns.missing, *columns.emptied]
        if not delta and not refill and not columns.added_again:
            return
        keyless = (
            not change.then.key
            or change.relabelled.intersection(change.then.key)
            or any(column.number in change.then.key for column in (*refill, *columns.added_again))
        )
        if keyless or (delta and not delta.keyed):
            yield from reload(self._desk, change, delta)
            return
        if delta and (self._situation.attributes(change.then.oid) or self._situation.policy.ambiguous != "keep"):
            yield from TableMerge(self._desk, change, delta, columns.surviving).actions()
        again = self._to_fill_again(change, columns.added_again)
        if refill or again:
            held = {column.number: None for column in columns.emptied} | again  # not what a new column would hold
            yield {
                "do": "refill",
                "op": "refill",
                "table": change.then.to_json(),
                "columns": [*(column.number for column in refill), *again],
                "defaults": {str(number): default for number, default in held.items()},
                "replaces": [*(column.number for column in columns.emptied), *again],
                "rows": self._situation.base.rows(change.then.oid),
            }

    def _fill(self, change: TableChange, missing: list[Column]) -> list[Json]:
        """Statements that give rows written since a value in restored columns that must have one."""
        found = []
        for column in missing:
            expression = self._situation.policy.fill.get(f"{change.then.scope}.{column.name}")
            if expression is None:
                continue
            if column.nullable:
                self._desk.refusals.append(
                    f"column {change.then.scope}.{column.name} may be NULL, so rows that lack a value cannot be told: `fill` has no effect"
                )
            name = sql.Identifier(column.name)
            update = sql.SQL("update only {} set {} = ({}) where {} is null").format(
                name_of(change.then), name, sql.SQL(expression), name
            )
            found.append(asdict(Statement(update.as_string(), f"the rows written on {change.then.scope}")))
        return found

    @staticmethod
    def _loosened(change: TableChange) -> list[Column]:
        """Columns that may be NULL only now, such as one that is soft-dropped: rows written since may lack a value."""
        pairs = ((column, change.now.column(change.columns.get(column.number) or 0)) for column in change.then.columns)
        return [column for column, now in pairs if now is not None and now.nullable and not column.nullable]

    def _refuse_unknown_fill(self) -> None:
        known = {
            f"{change.then.scope}.{c.name}" for change in self._situation.reversal.tables for c in change.then.columns
        }
        if unknown := sorted(self._situation.policy.fill.keys() - known):
            raise ConfigurationError(
                f"`fill` names unknown columns: {', '.join(unknown)}", component=self._desk.component
            )

    def _to_fill_again(self, change: TableChange, columns: list[Column]) -> dict[int, str | None]:
        """Those of the columns that were added again, by whomever, and lack old values, with the default that their rows got instead."""
        lacking = {}
        for column in columns:
            now = change.now.column(change.columns[column.number] or 0) or column
            action = {"do": "refill", "op": "refill", "table": change.then.to_json(), "columns": [column.number]}
            merge = Merge(change.now, key_now(change), (now,))
            batches = lines_of(action, self._situation.base, self._desk.blobs)
            labels = self._situation.labels(change.then.oid).get(column.number)
            lines = (_relabelled(line, labels) for part in batches for line in part)
            self._desk.stage(merge, merge.whole_stage(), lines)
            row = self._desk.session.execute(merge.empty()).fetchone()
            if row and row[0]:
                lacking[column.number] = now.default
        return lacking

    def _salvage(self, salvage: Salvage, delta: TableDelta | None) -> Json:
        """Lists what was written since the checkpoint.

        Gives the action that lists what is added until the table is locked.
        """
        attributed = salvage.since is not None
        left = left_by_migration(salvage, delta, self._desk.blobs) if delta and attributed else {}
        entries = salvage.entries(self._desk.session, self._desk.component)
        if self._situation.loaded and not salvage.whole:
            entries = unless_loaded(entries, salvage, self._situation.loaded)
        for entry in entries:
            if attributed and left.get(tuple(entry.key.values())) == tuple((entry.now or {}).values()):
                continue
            self._desk.ledger.add(entry if attributed else entry.model_copy(update={"action": Action.AMBIGUOUS}))
        return replace(salvage, since=Horizon(current_xmin(self._desk.session))).to_json()


def _relabelled(line: bytes, labels: Labels | None) -> bytes:
    """A line whose last field holds labels, as these are called now."""
    if labels is None:
        return line
    head, tab, last = line.rpartition(b"\t")
    return head + tab + labels.as_now(last)
