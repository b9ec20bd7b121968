"""Captures catalogs and runs reversals, without the data half."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psycopg
from psycopg import sql

from rollback_provider.components.postgres.catalog import Catalog, capture
from rollback_provider.components.postgres.reversal import Reversal, Statement
from tests.fix_postgres import Database


def read_catalog(database: Database, schemas: Sequence[str] | None = None, since: Catalog | None = None) -> Catalog:
    """The catalog, read as the component reads it, and once through JSON."""
    with database.connect() as connection, connection.transaction():
        connection.execute("set local search_path = pg_catalog")
        return capture(connection, schemas, since=since)


def statements_of(reversal: Reversal) -> Iterator[Statement]:
    """All statements in the order of their phases."""
    yield from reversal.prepare
    for recreation in reversal.recreations:
        yield from recreation.create
        yield from recreation.complete
    yield from reversal.finish


def run_reversal(database: Database, reversal: Reversal) -> None:
    """Runs all phases: `prepare` in one transaction, the rest statement by statement. Names the statement that fails."""
    with database.connect() as connection:
        connection.execute("set search_path = pg_catalog; set check_function_bodies = off; set row_security = off")
        with connection.transaction():
            for statement in reversal.prepare:
                _run(connection, statement)
        for statement in list(statements_of(reversal))[len(reversal.prepare) :]:
            _run(connection, statement)


def _run(connection: psycopg.Connection, statement: Statement) -> None:
    try:
        connection.execute(sql.SQL(statement.sql))
    except psycopg.Error as error:
        raise AssertionError(f"{statement.sql}\n{error}") from error
