"""Reads the log of a tracked migration: each write of a row, in the order in which they were made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import sql

from rollback_provider.components.postgres.reserved import TRACKING_SCHEMA
from rollback_provider.components.postgres.rows import NULL, field
from rollback_provider.components.postgres.session import Session

Row = dict[int, bytes]
"""A row: fields of COPY by attnum."""
_WRITES = sql.Identifier(TRACKING_SCHEMA, "writes")
_VALUE = re.compile(r'(?:"((?:[^"\\]|""|\\\\)*)"|([^,]*))(?:,|$)')
_DOUBLED = re.compile(r'(["\\])\1')


@dataclass(frozen=True)
class Write:
    """A row that was written. Writes of one row come in the order in which they were made, since each waits for the one before.

    :param marked: by a session that bears the mark
    """

    old: Row | None
    new: Row | None
    marked: bool


def count_of(session: Session, relation: int) -> int:
    """How often rows of a table were written."""
    query = sql.SQL("select count(*) from {} where relation = %s").format(_WRITES)
    row = session.execute(query, [relation]).fetchone()
    return int(row[0]) if row else 0


def is_marked(session: Session, relation: int) -> bool:
    """Whether the migration wrote rows of a table."""
    query = sql.SQL("select exists (select from {} where relation = %s and marked)").format(_WRITES)
    row = session.execute(query, [relation]).fetchone()
    return bool(row and row[0])


def writes_of(session: Session, relation: int, snapshot: str) -> Iterator[Write]:
    """The writes to a table that a snapshot of the database does not show yet.

    :param snapshot: what ``pg_current_snapshot`` said in it
    """
    query = sql.SQL(
        "select columns, old, new, marked from {} where relation = %s"
        " and not pg_visible_in_snapshot(xid, %s::pg_snapshot) order by number"
    ).format(_WRITES)
    with session.cursor() as cursor:
        for columns, old, new, marked in cursor.stream(query, [relation, snapshot]):
            yield Write(_row(columns, old), _row(columns, new), marked)


def transactions(session: Session, since: int) -> list[int]:
    """Ids of the transactions, subtransactions included, that are known to be the migration's.

    They are those that wrote to the log with the mark, and those that left their id in the catalog of tables and columns.

    :param since: a transaction that is older than the migration; nothing older counts
    """
    stop = session.execute("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
    rows = session.execute(
        sql.SQL(
            "select distinct xmin::text::bigint from {} where marked union"
            " select xmin::text::bigint from pg_class where oid >= 16384 and age(xmin) <= age({since}) union"
            " select xmin::text::bigint from pg_attribute where attrelid >= 16384 and age(xmin) <= age({since})"
        ).format(_WRITES, since=sql.SQL("{}::xid").format(sql.Literal(str(since % 2**32))))
    ).fetchall()
    found = {since + (xid - since) % 2**32 for (xid,) in rows}
    return sorted(xid for xid in found if stop and xid < stop[0])


def _row(columns: list[int], text: str | None) -> Row | None:
    """A row from the text of a record, as ``record_out`` writes it."""
    if text is None:
        return None
    if not columns:
        return {}
    row: Row = {}
    values = _VALUE.finditer(text, 1, len(text) - 1)
    for number, match in zip(columns, values, strict=False):
        quoted, plain = match.groups()
        if quoted is not None:
            row[number] = field(_DOUBLED.sub(r"\1", quoted))
        else:
            row[number] = field(plain) if plain else NULL
    return row
