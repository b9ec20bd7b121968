"""A schema migration tool and its project, run by its own command line."""

from __future__ import annotations

import re
import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, Field

from rollback_provider.clients.command import Program
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ComponentError, StepFailedError

_LIBPQ = {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY"}
_READING = 120.0
"""Seconds that a tool has to tell where it stands."""
_SAID = 4 * 1024 * 1024
"""Bytes of what a tool says that are read: some ten thousand versions."""
LOCK_TIMEOUT = "5s"
"""How long a statement of the tool waits for a lock, and applications behind it; as far as the tool's driver reads PGOPTIONS."""

Wait = Callable[[float], None]


class ToolOptions(BaseModel):
    """How a project's migration tool is called. Options are stored, so none may hold a secret.

    :param tool: which one
    :param directory: of the project; the tool runs there
    :param program: its name or path, where it is not the usual one
    :param arguments: what always stands before the command
    :param environment: variables it needs; the connection's need not be among them
    :param url_variable: name of a variable that the project reads the database's URL from
    :param url_scheme: how that URL begins
    :param table: ``schema.table`` in which the tool keeps its history, where it is not the usual one
    :param timeout: seconds that a downgrade may take
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tool: str
    directory: str
    program: str | None = None
    arguments: list[str] | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    url_variable: str | None = None
    url_scheme: str = "postgresql"
    table: str | None = Field(default=None, pattern=r"^[^.\s]+\.[^.\s]+$")
    timeout: float = Field(default=600.0, gt=0)


class MigrationTool(ABC):
    """One project's migrations of one database.

    :param component: the component's name, for errors
    :param connection: of the database: the tool is given it by environment, never on a command line
    """

    program: ClassVar[str]
    arguments: ClassVar[Sequence[str]] = ()
    table: ClassVar[str]
    """Where it keeps its history."""
    version: ClassVar[str]
    """SQL over that table, for what names a version."""
    install: ClassVar[str]
    url_variable: ClassVar[str | None] = None

    def __init__(self, component: str, options: ToolOptions, connection: Connection) -> None:
        self.name = options.tool
        self.history = options.table or self.table
        self._component = component
        self._options = options
        self._arguments = self.arguments if options.arguments is None else options.arguments
        password = connection.password or ""
        self._program = Program(
            component=component,
            path=options.program or self.program,
            cwd=Path(options.directory),
            environment=self._environment(connection) | options.environment,
            secrets=(password, quote(password, safe="")),
            install=self.install,
            kept=_SAID,
        )

    @abstractmethod
    def applied(self, wait: Wait = time.sleep) -> tuple[str, ...]:
        """What the tool says is in effect, sorted; see `versions`. Changes nothing.

        Raises ConfigurationError where it is not installed, ComponentError where it cannot tell.
        """

    @abstractmethod
    def downgrade(self, now: Collection[str], target: Collection[str]) -> list[list[str]]:
        """Arguments of the commands that lead from one set of versions to another, in order.

        Raises UnsupportedError where the tool has no way there.
        """

    def run(self, arguments: Sequence[str], wait: Wait) -> None:
        """Runs one command. Raises StepFailedError, and what `wait` raises."""
        self._program.run(*self._arguments, *arguments, timeout=self._options.timeout, wait=wait)

    def shown(self, arguments: Sequence[str]) -> str:
        """A command as a person would type it in the project's directory."""
        return shlex.join([self._program.path, *self._arguments, *arguments])

    def owns(self, scope: str) -> bool:
        """Whether a table (``schema.name``) holds the tool's own history, so that nobody else writes it."""
        return scope == self.history

    @property
    def directory(self) -> str:
        """Where it runs."""
        return self._options.directory

    def _say(self, *arguments: str, wait: Wait, accept: Sequence[int] = (0,)) -> str:
        """What it writes to its standard output."""
        try:
            return self._program.run(*self._arguments, *arguments, timeout=_READING, wait=wait, accept=accept).output
        except StepFailedError as error:
            raise ComponentError(
                f"Where the migrations stand cannot be told: {error.what}",
                component=self._component,
                next_step=f"Make this work, in {self.directory}: {self.shown(arguments)}",
            ) from error

    def _environment(self, connection: Connection) -> dict[str, str | None]:
        extra = {key: str(value) for key, value in connection.extra.items() if key in _LIBPQ}
        host = connection.host or connection.extra.get("host")
        known = {
            "PGHOST": host,
            "PGPORT": str(connection.port) if connection.port else None,
            "PGUSER": connection.login,
            "PGPASSWORD": connection.password,
            "PGDATABASE": connection.schema,
            "PGAPPNAME": f"rollback-provider {self.name}",
            "PGOPTIONS": f"{connection.extra.get('options', '')} -c lock_timeout={LOCK_TIMEOUT}".strip(),
        }
        known |= {_LIBPQ[key]: value for key, value in extra.items()}
        variable = self._options.url_variable or self.url_variable
        return known | ({variable: self._url(connection, host, extra)} if variable else {})

    def _url(self, connection: Connection, host: str | None, extra: dict[str, str]) -> str:
        """The database's URL. A socket's directory stands in its query."""
        user = quote(connection.login or "", safe="")
        password = f":{quote(connection.password, safe='')}" if connection.password else ""
        socket = bool(host and host.startswith("/"))
        where = "" if socket or not host else host
        port = f":{connection.port}" if connection.port and not socket else ""
        query = extra | ({"host": host or ""} if socket else {})
        if socket and connection.port:
            query["port"] = str(connection.port)
        path = quote(connection.schema or "", safe="")
        shown = f"?{urlencode(query)}" if query else ""
        return f"{self._options.url_scheme}://{user}{password}@{where}{port}/{path}{shown}"


def matches(pattern: str, text: str) -> Iterator[str]:
    """The first group of each line that a pattern describes."""
    for line in text.splitlines():
        if found := re.fullmatch(pattern, line.rstrip()):
            yield found[1]
