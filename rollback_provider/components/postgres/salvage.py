"""What has no place in the snapshot's schema: rows and values in tables and columns that the migration created.

Listed when the plan is made, and again under the lock that precedes the DROP, for what was written in between:
nothing an application wrote vanishes unlisted, and the ledger's data keeps every value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from psycopg import sql

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.horizon import Horizon, since
from rollback_provider.components.postgres.images import TableDelta
from rollback_provider.components.postgres.lines import IN_MEMORY, read_lines
from rollback_provider.components.postgres.merge import constant, output
from rollback_provider.components.postgres.rows import text
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Column, Table, name_of
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobReader
from rollback_provider.core.model import Action, LedgerEntry


@dataclass(frozen=True)
class Salvage:
    """Values to list before they go.

    :param columns: the columns that go; all of them where the table goes
    :param since: horizon after which writes are an application's; None lists every row
    :param kept: for columns that are converted, by attnum, SQL of what is left of the value when it is converted there and back: only
        values that differ from it are listed
    :param reason: for the ledger
    """

    table: Table
    columns: tuple[Column, ...]
    since: Horizon | None
    kept: dict[int, str] = field(default_factory=dict)
    reason: str = "the migration created this column"

    @property
    def key(self) -> tuple[Column, ...]:
        """What names a row: the table's key, or all its columns."""
        return self.table.key_columns or self.table.stored_columns

    def entries(self, session: Session, component: str) -> Iterator[LedgerEntry]:
        """Reads the rows one by one and makes entries of them."""
        shown = [output(sql.Identifier(c.name)) for c in (*self.key, *self.columns)]
        where = [since(self.since)] if self.since is not None else []
        if not self.whole:
            written = [
                sql.SQL("{} is distinct from {}").format(
                    output(sql.Identifier(c.name)),
                    output(sql.SQL(self.kept.get(c.number) or f"({constant(c.default) or 'null'})::{c.type}")),
                )
                for c in self.columns
            ]
            where.append(sql.SQL("({})").format(sql.SQL(" or ").join(written)))
        query = sql.SQL("select {} from only {}{}").format(
            sql.SQL(", ").join(shown),
            name_of(self.table),
            sql.SQL(" where {}").format(sql.SQL(" and ").join(where)) if where else sql.SQL(""),
        )
        with session.cursor() as cursor:
            for row in cursor.stream(query):
                width = len(self.key)
                yield LedgerEntry(
                    component=component,
                    scope=self.table.scope,
                    action=Action.DISCARDED,
                    key=dict(zip((c.name for c in self.key), row[:width], strict=True)),
                    now=dict(zip((c.name for c in self.columns), row[width:], strict=True)),
                    reason="the migration created this table" if self.whole else self.reason,
                )

    @property
    def whole(self) -> bool:
        """Whether the table itself goes."""
        return not self.kept and set(self.columns) >= set(self.table.stored_columns)

    def to_json(self) -> Json:
        """As an action of a step."""
        return {
            "do": "salvage",
            "table": self.table.to_json(),
            "columns": [column.number for column in self.columns],
            "since": self.since.to_json() if self.since else None,
            "kept": {str(number): expression for number, expression in self.kept.items()},
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, value: Json) -> Salvage:
        """From what `to_json` gave."""
        table = Table.from_json(value["table"])
        columns = tuple(c for c in table.columns if c.number in value["columns"])
        since_ = Horizon.of(value["since"]) if value["since"] else None
        kept = {int(number): expression for number, expression in value["kept"].items()}
        return cls(table, columns, since_, kept, value["reason"])

    def lock(self) -> sql.Composed:
        """Keeps applications from writing to the table from here to the end of the transaction."""
        return sql.SQL("lock table only {} in access exclusive mode").format(name_of(self.table))


def unless_loaded(entries: Iterable[LedgerEntry], salvage: Salvage, loaded: Base) -> Iterator[LedgerEntry]:
    """Entries but for those whose values are the ones that a rollback gave back: an application has written only other columns.

    :param loaded: the rows that the rollback went back to
    """
    known = loaded.tables.get(salvage.table.oid)
    places = {c.name: i for i, c in enumerate(known.table.stored_columns)} if known else {}
    if known is None or not all(c.name in places for c in (*salvage.key, *salvage.columns)):
        yield from entries
        return
    key, values = ([places[c.name] for c in columns] for columns in (salvage.key, salvage.columns))
    waiting = {tuple(entry.key.values()): entry for entry in entries}
    for lines in loaded.lines(salvage.table.oid) if waiting else ():
        for line in lines:
            fields = line.split(b"\t")
            entry = waiting.get(tuple(text(fields[i]) for i in key))
            if entry and tuple((entry.now or {}).values()) == tuple(text(fields[i]) for i in values):
                del waiting[tuple(entry.key.values())]
    yield from waiting.values()


def left_by_migration(
    salvage: Salvage, delta: TableDelta, blobs: BlobReader
) -> dict[tuple[str | None, ...], tuple[str | None, ...]]:
    """Values that the migration itself had left in the columns, by key, so that only later writes are listed.

    Empty where there are too many to hold: then every value is listed.
    """
    places = {number: i for i, number in enumerate(delta.order)}
    if delta.changed_rows > IN_MEMORY or any(c.number not in places for c in (*salvage.key, *salvage.columns)):
        return {}
    key = [places[c.number] for c in salvage.key]
    values = [places[c.number] for c in salvage.columns]
    left = {}
    for lines in read_lines(delta.changed, blobs):
        for line in lines:
            fields = line.split(b"\t")
            left[tuple(text(fields[i]) for i in key)] = tuple(text(fields[i]) for i in values)
    return left
