"""Tables as the data side of the engine sees them: identity, columns, key, foreign keys. The catalog fills them in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import sql


@dataclass(frozen=True)
class Column:
    """A column of a table. `number` is its attnum: with the table's oid it is the column's identity, whatever its name.

    :param type: SQL text of the type with modifier, schema-qualified unless in pg_catalog: ``numeric(10,2)``
    :param default: SQL text of the default, or None
    :param generated: ``""``, ``"s"`` (stored) or ``"v"`` (virtual); a generated column is never written
    :param identity: ``""``, ``"a"`` (always) or ``"d"`` (by default)
    """

    number: int
    name: str
    type: str
    nullable: bool
    default: str | None = None
    generated: str = ""
    identity: str = ""


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key; columns are attnums, in order."""

    name: str
    columns: tuple[int, ...]
    references: int
    references_columns: tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """A table that holds rows itself: an ordinary table or a leaf partition.

    :param oid: its identity within one database
    :param filenode: changes when the table is rewritten
    :param key: attnums of the primary key, or of the first unique, not partial, immediate index on NOT NULL columns;
        empty where there is none
    :param row_triggers: it has enabled user triggers that fire on writes
    :param logged: false for an unlogged table
    """

    oid: int
    schema: str
    name: str
    filenode: int
    columns: tuple[Column, ...]
    key: tuple[int, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()
    row_triggers: bool = False
    logged: bool = True

    @property
    def scope(self) -> str:
        """Schema and name, unquoted, for people."""
        return f"{self.schema}.{self.name}"

    @property
    def stored_columns(self) -> tuple[Column, ...]:
        """Columns that can be written, the key first and in the key's order, then by number."""
        by_number = {column.number: column for column in self.columns}
        rest = tuple(c for c in self.columns if c.number not in self.key and not c.generated)
        return tuple(by_number[number] for number in self.key) + rest

    @property
    def key_columns(self) -> tuple[Column, ...]:
        """The key's columns, in order."""
        return self.stored_columns[: len(self.key)]

    def column(self, number: int) -> Column | None:
        """The column of this attnum, or None."""
        return next((column for column in self.columns if column.number == number), None)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Table:
        """From what `to_json` gave."""
        return cls(
            **{
                **value,
                "columns": tuple(Column(**column) for column in value["columns"]),
                "key": tuple(value["key"]),
                "foreign_keys": tuple(
                    ForeignKey(
                        name=fk["name"],
                        columns=tuple(fk["columns"]),
                        references=fk["references"],
                        references_columns=tuple(fk["references_columns"]),
                    )
                    for fk in value["foreign_keys"]
                ),
            }
        )


def name_of(table: Table) -> sql.Identifier:
    """The table's name, quoted."""
    return sql.Identifier(table.schema, table.name)


def columns_of(columns: Iterable[Column], *, alias: str | None = None) -> sql.Composed:
    """Column names, quoted and separated by commas."""
    return sql.SQL(", ").join(
        sql.Identifier(alias, column.name) if alias else sql.Identifier(column.name) for column in columns
    )


def loaded(table: Table) -> sql.Composed:
    """A table with its stored columns, as COPY … FROM takes it; a table without any takes no list of them."""
    columns = sql.SQL(" ({})").format(columns_of(table.stored_columns)) if table.stored_columns else sql.SQL("")
    return name_of(table) + columns
