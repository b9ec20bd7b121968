"""A session that can read and nothing else, for SQL that somebody else has written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ComponentError, ComponentUnavailableError, PermissionDeniedError

if TYPE_CHECKING:
    import psycopg

Row = tuple[Any, ...]


@contextmanager
def reading(connection: Connection, timeout: float) -> Iterator[psycopg.Connection[Row]]:
    """One read-only transaction, in which each statement ends after `timeout` seconds at the latest.

    Raises ComponentUnavailableError, PermissionDeniedError, and ComponentError with the server's words for SQL that it refuses.
    """
    import psycopg
    from psycopg import errors as pg

    from rollback_provider.clients.postgres import conninfo

    try:
        with psycopg.connect(conninfo(connection), autocommit=True) as session:
            session.execute("begin isolation level repeatable read read only")
            session.execute("select set_config('statement_timeout', %s, true)", [f"{int(timeout * 1000)}ms"])
            yield session
    except pg.QueryCanceled as error:
        raise TimeoutError from error
    except pg.InsufficientPrivilege as error:
        raise PermissionDeniedError(
            _words(error), component=connection.id, next_step="Grant it to the connection's role"
        ) from error
    except pg.ReadOnlySqlTransaction as error:
        raise ComponentError(
            f"The SQL writes: {_words(error)}", component=connection.id, next_step="A check may only read"
        ) from error
    except psycopg.OperationalError as error:
        raise ComponentUnavailableError(
            f"PostgreSQL gives no answer: {_words(error)}", component=connection.id
        ) from error
    except psycopg.Error as error:
        raise ComponentError(f"PostgreSQL refuses the SQL: {_words(error)}", component=connection.id) from error


def fetch(session: psycopg.Connection[Row], sql: str, limit: int) -> tuple[list[str], list[Row]]:
    """Names of the columns and the first rows of one query. It is prepared, which takes one statement alone.

    So nobody can end the read-only transaction in front of what he writes.
    """
    with session.cursor() as cursor:
        cursor.execute(sql.encode(), prepare=True)
        names = [column.name for column in cursor.description or ()]
        return names, cursor.fetchmany(limit) if cursor.description else []


def _words(error: psycopg.Error) -> str:
    said = error.diag.message_primary or str(error).strip().splitlines()[0]
    position = f" at character {error.diag.statement_position}" if error.diag.statement_position else ""
    return f"{' '.join(said.split())}{position}"
