"""HAProxy's runtime API: commands and answers as text over its stats socket (management guide, section 9.3)."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ComponentUnavailableError, PermissionDeniedError, StepFailedError

_TIMEOUT = 10.0
"""Seconds for one answer."""
_MAINTENANCE = 0x01 | 0x02 | 0x20
"""Bits of an administrative state: forced, inherited, or no address resolved. What the configuration says (0x04) tells nothing of now."""
_DRAIN = 0x08 | 0x10
_STATES = "1"
"""The version of the output of ``show servers state`` that is understood."""
_ENTRY = re.compile(
    r"^0x[0-9a-f]+: key=(?P<key>(?:\\.|[^\\ ])*) .*?\bserver_id=(?P<server>\d+)(?:.*\bserver_key=(?P<name>\S+))?"
)
_TRIES = 50
_PAUSE = 0.02
"""Seconds between two looks at entries that requests are using."""


@dataclass(frozen=True)
class Server:
    """A server of a backend, as it is now.

    :param state: ``ready``, ``drain`` or ``maint``
    """

    id: int
    name: str
    address: str
    port: int
    state: str
    weight: int


class RuntimeApi:
    """The stats socket of one HAProxy. The connection's host is the path of a Unix socket, or with a port the name of a host."""

    def __init__(self, component: str, connection: Connection) -> None:
        self._component = component
        self._host = connection.host or "/run/haproxy/admin.sock"
        self._port = connection.port

    def ask(self, command: str) -> str:
        """Sends one command and gives its answer. Raises ComponentUnavailableError, PermissionDeniedError."""
        try:
            with self._connect() as connection:
                connection.settimeout(_TIMEOUT)
                connection.sendall(command.encode() + b"\n")
                answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode(errors="backslashreplace").strip()
        except OSError as error:
            raise ComponentUnavailableError(
                f"HAProxy at {self._host} gives no answer ({error.strerror or type(error).__name__})",
                component=self._component,
            ) from error
        if answer == "Permission denied" or "insufficient privileges" in answer:
            raise PermissionDeniedError(
                f"HAProxy refuses {' '.join(command.split()[:2])!r}",
                component=self._component,
                next_step="Give the stats socket `level admin`",
            )
        return answer

    def do(self, command: str, *said: str) -> None:
        """Sends one command that changes something. An answer that holds none of `said` is a refusal: raises StepFailedError."""
        answer = self.ask(command)
        if answer and not any(each in answer for each in said):
            raise StepFailedError(f"HAProxy refuses {command!r}: {' '.join(answer.split())}", component=self._component)

    def servers(self, backend: str) -> list[Server]:
        """All servers of a backend. Raises StepFailedError where there is no such backend, or the answer is not understood."""
        version, _, rest = self.ask(f"show servers state {backend}").partition("\n")
        if version != _STATES:
            raise StepFailedError(f"HAProxy has no backend {backend!r}: {version}", component=self._component)
        names, *rows = (line.lstrip("# ").split() for line in rest.splitlines() if line)
        return [_server(dict(zip(names, row, strict=True))) for row in rows]

    def sessions(self, backend: str) -> dict[str, int]:
        """Current sessions of each server of a backend."""
        lines = self.ask(f"show stat {backend} 4 -1").lstrip("# ").splitlines()
        names = lines[0].split(",")
        rows = [dict(zip(names, line.split(","), strict=False)) for line in lines[1:]]
        return {row["svname"]: int(row["scur"]) for row in rows}

    def stuck(self, backend: str) -> dict[str, str]:
        """Keys of a backend's stick table, as the API writes them, and the name of each one's server; none where there is no table."""
        names = {server.id: server.name for server in self.servers(backend)}
        return {
            key: server_key or names[server_id]
            for key, server_id, server_key in self._entries(self.ask(f"show table {backend}"))
            if server_key or server_id in names
        }

    def stick(self, backend: str, wanted: Mapping[str, str]) -> None:
        """Makes keys stick to servers. Raises StepFailedError where others move them all the time.

        An entry that traffic has made names its server twice, and only the number can be set; the name, which counts, goes with it. A
        request that is on its way writes the entry as it found it, so all are looked at again.
        """
        numbers = {each.name: each.id for each in self.servers(backend)}
        left = {key: server for key, server in wanted.items() if server in numbers}
        for _ in range(_TRIES):
            for key, server in left.items():
                self.ask(f"clear table {backend} key {key}")
                self.do(f"set table {backend} key {key} data.server_id {numbers[server]}")
            time.sleep(_PAUSE)
            now = self.stuck(backend)
            left = {key: server for key, server in left.items() if now.get(key) != server}
            if not left:
                return
        raise StepFailedError(
            f"{backend}: {', '.join(list(left)[:5])} do not stay where they are put", component=self._component
        )

    def unstick(self, backend: str, key: str) -> None:
        """Forgets where a key sticks to. An entry that a request is using stays until that has ended."""
        for _ in range(_TRIES):
            if "currently in use" not in self.ask(f"clear table {backend} key {key}"):
                return
            time.sleep(_PAUSE)
        raise StepFailedError(f"{backend}: the entry of {key!r} is in use all the time", component=self._component)

    def require_admin(self) -> None:
        """Raises PermissionDeniedError where the socket cannot change what a rollback would."""
        level = self.ask("show cli level")
        if level != "admin":
            raise PermissionDeniedError(
                f"The stats socket has level {level!r}",
                component=self._component,
                next_step="Give the stats socket `level admin`",
            )

    def _connect(self) -> socket.socket:
        if self._port:
            return socket.create_connection((self._host, self._port), _TIMEOUT)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(_TIMEOUT)
            connection.connect(self._host)
        except OSError:
            connection.close()
            raise
        return connection

    def _entries(self, answer: str) -> Iterator[tuple[str, int, str]]:
        """Key, number of the server, and its name where the entry holds it."""
        for line in answer.splitlines():
            if found := _ENTRY.match(line):
                yield found["key"], int(found["server"]), "" if found["name"] in {None, "-"} else found["name"]


def _server(row: dict[str, str]) -> Server:
    bits = int(row["srv_admin_state"])
    return Server(
        id=int(row["srv_id"]),
        name=row["srv_name"],
        address=row["srv_addr"],
        port=int(row["srv_port"]),
        state="maint" if bits & _MAINTENANCE else "drain" if bits & _DRAIN else "ready",
        weight=int(row["srv_uweight"]),
    )
