"""What a database holds, as text that can be compared: its schema as ``pg_dump`` prints it, and all rows."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from psycopg import sql

from rollback_provider.components.postgres.embedded import Server

_SETTINGS = """
    set search_path = pg_catalog; set datestyle = iso; set intervalstyle = postgres; set timezone = utc;
    set extra_float_digits = 1; set bytea_output = hex
"""
_TABLES = """
    select n.nspname, c.relname, array_agg(a.attname::text order by a.attname)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    group by 1, 2 order by 1, 2
"""


@dataclass(frozen=True)
class State:
    """Schema and rows of a database at one moment.

    :param schema: the objects that pg_dump prints, by their heading; columns inside CREATE TABLE in alphabetical order
    :param rows: by table, its rows as text, sorted
    """

    schema: dict[str, str]
    rows: dict[str, list[str]]


def state_of(server: Server, database: str) -> State:
    """Reads schema and rows."""
    dump = subprocess.run(
        [server.programs / "pg_dump", "--schema-only", server.url(database)], check=True, capture_output=True, text=True
    ).stdout
    with psycopg.connect(server.dsn(database), autocommit=True) as connection:
        connection.execute(_SETTINGS)
        tables = connection.execute(_TABLES).fetchall()
        return State(
            schema=_objects(dump),
            rows={
                f"{schema}.{table}": _rows(connection, sql.Identifier(schema, table), columns)
                for schema, table, columns in tables
            },
        )


def schema_differences(expected: State, actual: State) -> list[str]:
    """Names what differs in the schema, with both texts."""
    return list(_differences(expected.schema, actual.schema))


def row_differences(expected: State, actual: State) -> list[str]:
    """Names what differs in the rows, table by table, with a few rows of each side."""
    found = []
    for table in sorted(expected.rows.keys() | actual.rows.keys()):
        before, after = expected.rows.get(table), actual.rows.get(table)
        if before is None or after is None:
            found.append(f"{table}: {'not expected' if before is None else 'missing'}")
        elif before != after:
            lost = [row for row in before if row not in after]
            new = [row for row in after if row not in before]
            found.append(f"{table}: {len(before)} rows expected, {len(after)} found; lost {lost[:2]}, new {new[:2]}")
    return found


def _objects(dump: str) -> dict[str, str]:
    objects: dict[str, str] = {}
    for part in re.split(r"\n--\n-- (?=Name: )", dump)[1:]:
        heading, _, text = part.partition("\n--\n")
        # psql's guard against injected commands carries a random key.
        text = "\n".join(
            line for line in text.splitlines() if line.strip() and not re.match(r"--|\\(un)?restrict ", line)
        )
        objects[heading] = re.sub(r"(?ms)(?<=^CREATE TABLE )([^\n]*\(\n)(.*?)(?=^\))", _sorted_columns, text)
    return objects


def _sorted_columns(match: re.Match[str]) -> str:
    return match[1] + "".join(f"{line}\n" for line in sorted(line.removesuffix(",") for line in match[2].splitlines()))


def _rows(connection: psycopg.Connection, table: sql.Composable, columns: Iterable[str]) -> list[str]:
    query = sql.SQL("copy (select {} from {}) to stdout").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), table
    )
    with connection.cursor().copy(query) as copy:
        return sorted(bytes(row).decode() for row in copy)


def _differences(expected: dict[str, str], actual: dict[str, str]) -> Iterable[str]:
    for name in sorted(expected.keys() | actual.keys()):
        before, after = expected.get(name), actual.get(name)
        if before != after:
            yield f"{name}\n  expected: {before}\n  found:    {after}"
