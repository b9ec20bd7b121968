"""Running the statements of a soft drop, whatever the driver: each is text, complete with its literals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import TupleRow, tuple_row

from rollback_provider.components.postgres.catalog.sql_text import literal
from rollback_provider.components.postgres.reserved import SNAPSHOT_SETTING, DropRecord

Execute = Callable[[str], list[tuple[Any, ...]]]
"""Executes one statement inside a transaction and gives its rows."""


def session_execute(session: psycopg.Connection[TupleRow]) -> Execute:
    """Executes in a session of psycopg."""

    def execute(statement: str) -> list[tuple[Any, ...]]:
        with session.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(psycopg.sql.SQL(statement))
            return cursor.fetchall() if cursor.description else []

    return execute


@contextmanager
def undone(execute: Execute) -> Iterator[None]:
    """Undoes what the block does."""
    execute("savepoint soft_drop_trial")
    yield
    execute("rollback to savepoint soft_drop_trial")
    execute("release savepoint soft_drop_trial")


def record_of(execute: Execute, name: str, comment: str | None) -> str:
    """The record of a soft drop that happens now, as SQL of the comment."""
    ((snapshot,),) = execute(f"select nullif(current_setting({literal(SNAPSHOT_SETTING)}, true), '')")
    time = datetime.now(UTC).replace(microsecond=0)
    return literal(DropRecord(name, time, snapshot, comment).to_comment())
