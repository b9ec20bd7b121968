"""A table without a key goes back as a whole: its rows are told apart by all their values, and counted among their like."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from rollback_provider.components.postgres.merge import STAGE, Merge, output
from rollback_provider.components.postgres.tables import name_of


def delete_others(merge: Merge) -> sql.Composed:
    """Deletes rows that a whole stage does not hold, or does not hold so many times."""
    return sql.SQL(
        "delete from only {t} where ctid in"
        " (select n.ctid from ({now}) n left join ({then}) s using (image, number) where s.image is null)"
    ).format(t=name_of(merge.table), now=_rows(merge), then=_staged(merge))


def insert_missing(merge: Merge) -> sql.Composed:
    """Inserts rows of a whole stage that the table does not hold, or does not hold so many times."""
    names = [sql.Identifier(c.name) for c in (*merge.key, *merge.columns)]
    listed = sql.SQL("({}) overriding system value ").format(sql.SQL(", ").join(names)) if names else sql.SQL("")
    return sql.SQL(
        "insert into {} {}select {} from ({}) s left join ({}) n using (image, number) where n.image is null"
    ).format(
        name_of(merge.table),
        listed,
        sql.SQL(", ").join(sql.SQL("s.") + value for value in _stage_values(merge)),
        _staged(merge),
        _rows(merge),
    )


def _rows(merge: Merge) -> sql.Composed:
    """Rows of the table, with a digest of all values, numbered among their like."""
    values = [sql.Identifier("t", c.name) for c in (*merge.key, *merge.columns)]
    return sql.SQL("select t.ctid, {} from only {} t").format(_numbered(values), name_of(merge.table))


def _staged(merge: Merge) -> sql.Composed:
    """Rows of a whole stage, likewise."""
    return sql.SQL("select s.*, {} from {} s").format(_numbered(_stage_values(merge)), STAGE)


def _stage_values(merge: Merge) -> list[sql.SQL]:
    return [sql.SQL(f"k{i}") for i in range(len(merge.key))] + [sql.SQL(f"o{i}") for i in range(len(merge.columns))]


def _numbered(values: Sequence[sql.Composable]) -> sql.Composed:
    image = sql.SQL("md5(row({})::text)").format(sql.SQL(", ").join(map(output, values)))
    return sql.SQL("{0} as image, row_number() over (partition by {0}) as number").format(image)
