"""How rows of the snapshot, of a delta and of the table now are put side by side, column by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from psycopg import sql

from rollback_provider.components.postgres.horizon import Horizon
from rollback_provider.components.postgres.images import TableDelta
from rollback_provider.components.postgres.merge import STAGE, Merge, output
from rollback_provider.components.postgres.planning.desk import Situation, Values
from rollback_provider.components.postgres.reversal import TableChange
from rollback_provider.components.postgres.reverse import Labels, Retyped
from rollback_provider.components.postgres.rows import NULL, fields_at, texts
from rollback_provider.components.postgres.tables import Column


@dataclass
class Columns:
    """Columns of the snapshot, by what has become of them.

    :param surviving: can be merged row by row
    :param missing: dropped
    :param emptied: converted to nothing, because their values cannot be converted back
    :param added_again: another column of the same name and type; values may lack in it
    """

    surviving: list[Column] = field(default_factory=list)
    missing: list[Column] = field(default_factory=list)
    emptied: list[Column] = field(default_factory=list)
    added_again: list[Column] = field(default_factory=list)

    @classmethod
    def of(cls, change: TableChange, delta: TableDelta | None, situation: Situation) -> Columns:
        """Columns of a table."""
        columns = cls()
        for column in change.then.stored_columns:
            now = change.columns.get(column.number)
            if now is None:
                columns.missing.append(column)
            elif (change.then.oid, column.number) in situation.unconvertible:
                columns.emptied.append(column)
            else:
                known = delta is None or now in delta.order
                if known:
                    columns.surviving.append(column)
                if not known or (now != column.number and change.then.oid == change.now.oid):
                    columns.added_again.append(column)
        return columns


def key_now(change: TableChange) -> tuple[Column, ...]:
    """The snapshot's key as it is named now, in the snapshot's types: a value may not fit into one that has been shortened."""
    found = ((column, change.now.column(change.columns[column.number] or 0)) for column in change.then.key_columns)
    return tuple(replace(now or column, type=column.type) for column, now in found)


@dataclass(frozen=True)
class Alignment:
    """How rows of a delta and rows of the snapshot are put side by side in a stage.

    :param columns: columns of the snapshot that take part, the key left out
    :param pairs: for each, its place in a line of the snapshot and in a line of the delta
    :param inexact: indexes of those whose value must be converted back before it can be compared
    :param labels: indexes of those that hold labels which have been renamed
    """

    merge: Merge
    width: int
    columns: tuple[Column, ...]
    pairs: tuple[tuple[int, int], ...]
    inexact: tuple[int, ...]
    labels: dict[int, Labels]

    @classmethod
    def of(
        cls,
        change: TableChange,
        delta: TableDelta,
        surviving: list[Column],
        inexact: frozenset[int],
        labels: dict[int, Labels],
        horizon: Horizon | None,
    ) -> Alignment:
        """The alignment of one table."""
        then = change.then
        there = {number: i for i, number in enumerate(delta.order)}
        here = {column.number: i for i, column in enumerate(then.stored_columns)}
        columns = tuple(column for column in surviving if column.number not in then.key)
        mapped = {number: now for number, now in change.columns.items() if now is not None}

        def as_now(column: Column) -> Column:
            found = change.now.column(mapped[column.number])
            assert found is not None  # noqa: S101  the catalog has matched it
            return found

        return cls(
            merge=Merge(change.now, key_now(change), tuple(map(as_now, columns)), horizon=horizon),
            width=len(then.key),
            columns=columns,
            pairs=tuple((here[column.number], there[mapped[column.number]]) for column in columns),
            inexact=tuple(i for i, column in enumerate(columns) if column.number in inexact),
            labels={i: labels[column.number] for i, column in enumerate(columns) if column.number in labels},
        )

    def as_now(self, line: bytes) -> list[bytes]:
        """Fields of a row of the snapshot, with labels as they are called now."""
        fields = line.split(b"\t")
        for i, labels in self.labels.items():
            place, _ = self.pairs[i]
            fields[place] = labels.as_now(fields[place])
        return fields

    def differs(self, old: list[bytes], now: list[bytes]) -> bool:
        """Whether the migration has, or may have, changed the row."""
        there, here = self._sides
        return bool(self.inexact) or there(old) != here(now)

    def line(self, old: list[bytes] | None, now: list[bytes]) -> bytes:
        """The stage's line: key, all `o`, all `n`, seen."""
        there, here = self._sides
        before = [NULL] * len(self.pairs) if old is None else there(old)
        return b"\t".join([*now[: self.width], *before, *here(now), NULL])

    @cached_property
    def _sides(self) -> tuple[Callable[[list[bytes]], Sequence[bytes]], Callable[[list[bytes]], Sequence[bytes]]]:
        """Cut the fields of the columns out of a row of the snapshot, and of the delta."""
        return fields_at([i for i, _ in self.pairs]), fields_at([j for _, j in self.pairs])

    def staged_insert(self, old: list[bytes]) -> bytes:
        """The stage's line for a row that is not there any more."""
        nulls = [NULL] * (len(self.pairs) + 1)
        return b"\t".join([*old[: self.width], *(old[i] for i, _ in self.pairs), *nulls])

    def images(self, line: bytes, *, deleting: bool) -> tuple[Values | None, Values]:
        """What differs in a stage line: before and now, by column name."""
        fields = line.split(b"\t")
        size = len(self.columns)
        old, now = fields[self.width : self.width + size], fields[self.width + size : -1]
        shown = [i for i in range(size) if deleting or old[i] != now[i]]
        names = [self.columns[i].name for i in shown]
        return (
            None if deleting else texts(names, [old[i] for i in shown]),
            texts(names, [now[i] for i in shown]),
        )

    def relabel(self, i: int) -> sql.Composed:
        """Replaces the labels in `o` and `n` of a column by what they will be called when everything is back."""
        images = (
            sql.SQL(f"{image}{i} = {{}}").format(sql.SQL(self.labels[i].as_then(f"s.{image}{i}"))) for image in "on"
        )
        return sql.SQL("update {} s set {}").format(STAGE, sql.SQL(", ").join(images))

    def convert(self, i: int, retyped: Retyped) -> sql.Composed:
        """Replaces `n` of a retyped column by what the conversion back will make of it, as text."""
        name = sql.Identifier(retyped.column)
        value = sql.SQL("(select {} from (select (s.n{})::{} as {}) r)").format(
            output(sql.SQL(retyped.as_then)), sql.SQL(str(i)), sql.SQL(self.merge.columns[i].type), name
        )
        return sql.SQL("update {} s set n{} = {}").format(STAGE, sql.SQL(str(i)), value)
