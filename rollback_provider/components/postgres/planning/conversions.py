"""Columns that get their type back: whether their values can be converted, and whether they then read the same."""

from __future__ import annotations

from psycopg import errors as pg
from psycopg import sql

from rollback_provider.components.postgres.horizon import since
from rollback_provider.components.postgres.merge import output
from rollback_provider.components.postgres.planning.desk import Desk
from rollback_provider.components.postgres.reversal import TableChange
from rollback_provider.components.postgres.reverse import Retyped
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Column, name_of


def converts(session: Session, column: Retyped) -> bool:
    """Whether every value of a retyped column can be converted back; tried on the rows as they are."""
    if column.expression is None:
        return True
    query = sql.SQL("select count({}) from only {}").format(sql.SQL(column.expression), name_of(column.table))
    session.execute("savepoint trial")
    try:
        session.execute(query)
    except (pg.DataError, pg.IntegrityError, pg.CannotCoerce, pg.UndefinedFunction):
        return False
    else:
        return True
    finally:
        session.execute("rollback to savepoint trial")


def there_and_back(session: Session, column: Retyped, now: Column) -> str:
    """SQL of what is left of a value that is converted to its old type and, where there is a cast, to its new type again."""
    expression = f"(({column.as_then})::{now.type})"
    session.execute("savepoint trial")
    try:
        session.execute(sql.SQL("select {} from only {} limit 0").format(sql.SQL(expression), name_of(column.table)))
    except (pg.CannotCoerce, pg.UndefinedFunction):
        return column.as_then
    else:
        return expression
    finally:
        session.execute("rollback to savepoint trial")


def inexact(desk: Desk, change: TableChange) -> frozenset[int]:
    """Attnums of retyped columns whose values, converted back, do not all read as they do now."""
    found = set()
    for number in change.retyped:
        if (change.then.oid, number) in desk.situation.unconvertible:
            continue
        retyped = desk.situation.retyped[change.then.oid, number]
        if retyped.by_text or retyped.labels:
            continue
        query = sql.SQL("select exists (select from only {} t where {} is distinct from {})").format(
            name_of(change.now),
            output(sql.SQL(retyped.as_then)),
            output(sql.Identifier(retyped.column)),
        )
        row = desk.session.execute(query).fetchone()
        if row and row[0]:
            found.add(number)
    return frozenset(found)


def refuse_lost_values(desk: Desk, change: TableChange, column: Column) -> None:
    """Values written since the checkpoint into a column that must be emptied have nowhere to go."""
    name = desk.situation.retyped[change.then.oid, column.number].column
    row = desk.session.execute(
        sql.SQL("select count(*) from only {} where {} is not null and {}").format(
            name_of(change.now), sql.Identifier(name), since(desk.situation.since)
        )
    ).fetchone()
    if row and row[0] and desk.situation.attributed:
        desk.refusals.append(
            f"{row[0]:,} rows of {change.then.scope} written since the checkpoint have values in column {name} "
            f"that may not convert back to {column.type}"
        )
