"""Finds rows of a table by their keys, as COPY writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import sql

from rollback_provider.components.postgres.rows import texts
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Column, Table, columns_of, name_of

Key = tuple[str | None, ...]
Fields = dict[str, str | None]


def look_up(
    session: Session, table: Table, columns: Sequence[Column], keys: Iterable[Key]
) -> dict[Key, tuple[int, Fields]]:
    """The rows that are there: the transaction that wrote each (xmin), and its values by column.

    :param columns: of the table, the key first
    """
    wanted, key = list(keys), columns[: len(table.key)]
    given = sql.SQL(", ").join(
        sql.Literal([one[place] for one in wanted]) + sql.SQL("::text[]") for place in range(len(key))
    )
    aliases = [sql.Identifier(f"k{place}") for place in range(len(key))]
    cast = sql.SQL(", ").join(
        sql.SQL("{}::{}").format(alias, sql.SQL(column.type)) for alias, column in zip(aliases, key, strict=True)
    )
    query = sql.SQL(
        "copy (select xmin, {} from only {} where ({}) in (select {} from unnest({}) u ({}))) to stdout"
    ).format(columns_of(columns), name_of(table), columns_of(key), cast, given, sql.SQL(", ").join(aliases))
    names = [column.name for column in columns]
    found: dict[Key, tuple[int, Fields]] = {}
    with session.cursor().copy(query) as copy:
        for line in copy:
            xmin, *fields = bytes(line)[:-1].split(b"\t")
            row = texts(names, fields)
            found[tuple(row[column.name] for column in key)] = int(xmin), row
    return found
