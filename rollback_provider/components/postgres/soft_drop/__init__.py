"""The soft drop: a migration renames what it would drop, and it is dropped for good when the migration is accepted.

The rollback of a soft drop is a rename back: no row is written.
"""

from __future__ import annotations

import psycopg
from psycopg.rows import TupleRow

from rollback_provider.components.postgres.soft_drop.columns import drop_column
from rollback_provider.components.postgres.soft_drop.statements import session_execute
from rollback_provider.components.postgres.soft_drop.tables import drop_table

__all__ = ["drop_column", "drop_table", "soft_drop_column", "soft_drop_table"]


def soft_drop_column(
    connection: psycopg.Connection[TupleRow], table: str, column: str, *, schema: str | None = None
) -> str:
    """Does to applications what ``ALTER TABLE … DROP COLUMN`` does, and keeps the column's values; gives the column's reserved name.

    In the transaction that is open, or in one of its own. What makes a DROP COLUMN without CASCADE fail makes this fail with the same
    error: a view that shows the column, a foreign key that refers to it.

    :param table: name of the table, as it is, unquoted; found by ``search_path`` where no `schema` is given

    Raises the driver's errors, and UnsupportedError, by name, for a column that has to be dropped for good instead.
    """
    with connection.transaction():
        return drop_column(session_execute(connection), table, column, schema)


def soft_drop_table(connection: psycopg.Connection[TupleRow], table: str, *, schema: str | None = None) -> str:
    """Does to applications what ``DROP TABLE`` does, and keeps the table with its rows and indexes; gives its reserved name.

    In the transaction that is open, or in one of its own. Its partitions go with it; a table that is a partition itself is detached. What
    makes a DROP TABLE without CASCADE fail makes this fail with the same error: a view on it, a foreign key to it.

    :param table: name of the table, as it is, unquoted; found by ``search_path`` where no `schema` is given

    Raises the driver's errors, and UnsupportedError, by name, for a table that has to be dropped for good instead.
    """
    with connection.transaction():
        return drop_table(session_execute(connection), table, schema)
