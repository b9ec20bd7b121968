"""Puts valid rows into every table of an unknown database: keys, foreign keys and checks are read, rows are tried."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import psycopg
from psycopg import sql

Values = Sequence[str]
"""Values of a column, as text."""

ROWS = 12
"""Rows that every table gets, where its keys allow so many."""
_ATTEMPTS = 20
"""Tries for each row: a random row may break a key or a check."""

_TABLES = """
    select c.oid, n.nspname as schema, c.relname as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 2, 3
"""
_COLUMNS = """
    select a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type, not a.attnotnull as nullable,
        pg_get_expr(d.adbin, d.adrelid) as default,
        a.attidentity::text <> '' as identity, a.attgenerated::text <> '' as generated,
        array(select e.enumlabel::text from pg_enum e where e.enumtypid = a.atttypid) as labels
    from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = %s and a.attnum > 0 and not a.attisdropped order by a.attnum
"""
_REFERENCES = """
    select confrelid as target,
        array(select attname::text from unnest(conkey) with ordinality k(n, i)
            join pg_attribute on attrelid = conrelid and attnum = n order by i) as columns,
        array(select attname::text from unnest(confkey) with ordinality k(n, i)
            join pg_attribute on attrelid = confrelid and attnum = n order by i) as target_columns
    from pg_constraint where conrelid = %s and contype = 'f'
"""
_CHECKS = """
    select array(select attname::text from pg_attribute where attrelid = conrelid and attnum = any (conkey)) as columns,
        pg_get_constraintdef(oid) as definition
    from pg_constraint where conrelid = %s and contype = 'c'
"""
_TROUBLE = ("", "\ttab", "\nline", "\\N", "\\", "'quote'", '"double"', "ünïcödé", "%s", "NULL")
"""Endings of texts on which careless copying stumbles."""


class CannotFillError(Exception):
    """No row fits into a table, or a type is not known."""


@dataclass(frozen=True)
class _Column:
    name: str
    type: str
    nullable: bool
    default: str | None
    identity: bool
    generated: bool
    labels: list[str]

    @property
    def automatic(self) -> bool:
        """Whether the server gives the value."""
        return self.identity or self.generated or (self.default or "").startswith("nextval(")


@dataclass(frozen=True)
class _Reference:
    target: int
    columns: list[str]
    target_columns: list[str]


@dataclass(frozen=True)
class _Table:
    oid: int
    name: sql.Identifier
    columns: list[_Column]
    references: list[_Reference]
    pools: Mapping[str, Values]
    """Values that checks and the project allow, by column."""


def fill(
    connection: psycopg.Connection, values: Mapping[str, Values], random: Random, *, leave: Iterable[str] = ()
) -> int:
    """Fills tables up to :data:`ROWS` rows, and columns that hold nothing but NULL; returns how many rows it wrote.

    :param connection: in autocommit mode
    :param values: by ``table.column``, what to choose from instead of making a value up
    :param leave: names of tables to leave alone

    Raises CannotFillError where a table stays empty.
    """
    connection.execute("set synchronous_commit = off")
    tables = {
        table.oid: table
        for table in (
            _table(connection, oid, schema, name, values)
            for oid, schema, name in connection.execute(_TABLES).fetchall()
            if name not in leave
        )
    }
    written, progress = 0, -1
    problems: dict[str, str] = {}
    while progress:  # a table may have to wait for the rows that it refers to
        progress = sum(_fill_table(connection, table, tables, random, problems) for table in tables.values())
        written += progress
    for table in tables.values():
        if not _count(connection, table):
            name = table.name.as_string()
            raise CannotFillError(f"{name} stays empty: {problems.get(name, 'it refers to an empty table')}")
        _fill_columns(connection, table, random)
    return written


def _table(connection: psycopg.Connection, oid: int, schema: str, name: str, values: Mapping[str, Values]) -> _Table:
    columns = [_Column(*row) for row in connection.execute(_COLUMNS, [oid]).fetchall()]
    pools: dict[str, Values] = {}
    for names, definition in connection.execute(_CHECKS, [oid]).fetchall():
        literals = re.findall(r"'((?:[^']|'')*)'", definition) or re.findall(r"(?<![\w.])-?\d+(?![\w.])", definition)
        if len(names) == 1 and literals:
            pools[names[0]] = [literal.replace("''", "'") for literal in literals]
    pools |= {column.name: values[f"{name}.{column.name}"] for column in columns if f"{name}.{column.name}" in values}
    references = [_Reference(*row) for row in connection.execute(_REFERENCES, [oid]).fetchall()]
    return _Table(oid, sql.Identifier(schema, name), columns, references, pools)


def _fill_table(
    connection: psycopg.Connection,
    table: _Table,
    tables: Mapping[int, _Table],
    random: Random,
    problems: dict[str, str],
) -> int:
    missing = ROWS - _count(connection, table)
    written = 0
    for _ in range(max(missing, 0) * _ATTEMPTS):
        row = _row(connection, table, tables, random)
        if row is None:
            break
        try:
            connection.execute(_insert(table, row), list(row.values()))
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            problems[table.name.as_string()] = str(error)
            continue
        written += 1
        if written == missing:
            break
    return written


def _row(
    connection: psycopg.Connection, table: _Table, tables: Mapping[int, _Table], random: Random
) -> dict[str, str | None] | None:
    """A row that may fit, or None where a table that it must refer to has no rows yet."""
    row: dict[str, str | None] = {}
    columns = {column.name: column for column in table.columns}
    for reference in table.references:
        target = _target(connection, tables[reference.target], reference, row)
        if target:
            row.update(zip(reference.columns, random.choice(target), strict=True))
        elif any(columns[name].nullable for name in reference.columns):
            row.update({name: None for name in reference.columns if columns[name].nullable})
        else:
            return None
    for column in table.columns:
        if column.name in row or column.automatic or (column.default and random.random() < 0.3):
            continue
        absent = column.nullable and random.random() < 0.25
        row[column.name] = None if absent else _value(column, table.pools.get(column.name), random)
    return row


def _target(
    connection: psycopg.Connection, target: _Table, reference: _Reference, row: Mapping[str, str | None]
) -> list[tuple[Any, ...]]:
    """Keys that a row may refer to, given the columns that are set already."""
    wanted = [sql.SQL("{}::text").format(sql.Identifier(name)) for name in reference.target_columns]
    found = connection.execute(sql.SQL("select {} from {}").format(sql.SQL(", ").join(wanted), target.name)).fetchall()
    return [key for key in found if all(row.get(n, v) == v for n, v in zip(reference.columns, key, strict=True))]


def _insert(table: _Table, row: Mapping[str, str | None]) -> sql.Composed:
    if not row:
        return sql.SQL("insert into {} default values").format(table.name)
    types = {column.name: column.type for column in table.columns}
    return sql.SQL("insert into {} ({}) values ({})").format(
        table.name,
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.SQL("cast(%s as {})").format(sql.SQL(types[name])) for name in row),
    )


def _fill_columns(connection: psycopg.Connection, table: _Table, random: Random) -> None:
    """Gives columns that hold nothing but NULL a value in every other row, where constraints allow it."""
    referring = {name for reference in table.references for name in reference.columns}
    rows = [row[0] for row in connection.execute(sql.SQL("select ctid::text from {}").format(table.name)).fetchall()]
    for column in table.columns:
        name = sql.Identifier(column.name)
        if not column.nullable or column.generated or column.name in referring:
            continue
        if connection.execute(sql.SQL("select count({}) from {}").format(name, table.name)).fetchall() != [(0,)]:
            continue
        for index, ctid in enumerate(rows[::2]):
            update = sql.SQL(
                "update {} set {} = cast(%s as {}) where ctid = cast(%s as tid) returning ctid::text"
            ).format(
                table.name,
                name,
                sql.SQL(column.type),
            )
            try:
                moved = connection.execute(
                    update, [_value(column, table.pools.get(column.name), random), ctid]
                ).fetchone()
            except (psycopg.IntegrityError, psycopg.DataError):
                continue
            if moved:
                rows[index * 2] = moved[0]


def _count(connection: psycopg.Connection, table: _Table) -> int:
    [(count,)] = connection.execute(sql.SQL("select count(*) from {}").format(table.name)).fetchall()
    return int(count)


def _value(column: _Column, pool: Values | None, random: Random) -> str:
    if pool or column.labels:
        return random.choice(pool or column.labels)
    kind, _, modifier = column.type.partition("(")
    if kind in {"character varying", "character", "text"}:
        limit = int(modifier.partition(")")[0] or 10**6)
        return f"{random.getrandbits(64):016x}{random.choice(_TROUBLE)}"[-limit:]
    if kind in {"double precision", "real"}:
        return random.choice([str(random.uniform(-1e6, 1e6)), "NaN", "Infinity", "-0", "1e-30", "0.1"])
    number = random.randrange(1, 30_000)
    made = {
        "smallint": str(number),
        "integer": str(number),
        "bigint": str(number * 50_000_001),
        "numeric": str(number / 100),
        "boolean": str(number % 2),
        "bytea": f"\\x{number:08x}",
        "json": f'{{"number": {number}, "none": null}}',
        "jsonb": f'{{"number": {number}, "none": null}}',
        "uuid": f"{random.getrandbits(128):032x}",
        "time": f"{number % 24:02}:34:56",
        "interval": f"{number % 90} days",
        "date": f"20{number % 90 + 10}-{number % 12 + 1:02}-{number % 28 + 1:02}",
        "timestamp": f"20{number % 90 + 10}-{number % 12 + 1:02}-{number % 28 + 1:02} 12:34:56.789",
    }
    if value := made.get(kind.partition(" ")[0]):
        return value
    raise CannotFillError(f"No values are known for type {column.type} of column {column.name}")
