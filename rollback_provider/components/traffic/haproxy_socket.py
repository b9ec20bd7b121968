"""HAProxy's runtime API: commands and answers as text over its stats socket (management guide, section 9.3)."""

from __future__ import annotations

import csv
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ComponentUnavailableError, PermissionDeniedError, StepFailedError

_TIMEOUT = 10.0
"""Seconds for one answer."""
_SAID = 200
"""Characters of an answer that an error shows."""
_MAINTENANCE = 0x01
"""Bit of an administrative state that somebody has set. What a tracked server hands down, a failed resolution and what the configuration
said once have bits of their own: they come and go by themselves."""
_DRAIN = 0x08
_STATES = "1"
"""The version of the output of ``show servers state`` that is understood."""
_ENTRY = re.compile(
    r"0x[0-9a-f]+: key=(?P<key>(?:\\.|[^\\ ])*) .*?(?:\bserver_id=(?P<server>\d+)(?:.*\bserver_key=(?P<name>\S+))?.*)?"
)
_UNPRINTABLE = re.compile(r"(?<!\\)(?:\\\\)*\\x")
"""In a key: a byte that HAProxy shows in hexadecimal and does not take in that form."""
_SPECIAL = re.compile("[;<]")
"""In a key, which users choose: what would end a command."""
_TRIES = 50
_IN_USE = "currently in use"
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

    def do(self, command: str, *said: str) -> str:
        """Sends one command that changes something, and gives its answer.

        An answer that holds none of `said` is a refusal: raises StepFailedError.
        """
        answer = self.ask(command)
        if answer and not any(each in answer for each in said):
            raise self._refused(f"refuses {command!r}", answer)
        return answer

    def servers(self, backend: str) -> list[Server]:
        """All servers of a backend. Raises StepFailedError where there is no such backend, or the answer is not understood."""
        answer = self.ask(f"show servers state {backend}")
        version, _, rest = answer.partition("\n")
        if version != _STATES:
            raise self._refused(f"has no backend {backend!r}", version)
        try:
            names, *rows = (line.lstrip("# ").split() for line in rest.splitlines() if line)
            return [_server(dict(zip(names, row, strict=True))) for row in rows]
        except (KeyError, ValueError):
            raise self._refused(f"lists the servers of {backend!r} in a form that is not understood", answer) from None

    def sessions(self, backend: str) -> dict[str, int]:
        """Current sessions of each server of a backend. Raises StepFailedError as `servers` does."""
        answer = self.ask(f"show stat {backend} 4 -1")
        if not answer.startswith("# "):
            raise self._refused(f"has no backend {backend!r}", answer)
        try:
            return {row["svname"]: int(row["scur"]) for row in csv.DictReader(answer.removeprefix("# ").splitlines())}
        except (KeyError, TypeError, ValueError):
            raise self._refused(
                f"counts the sessions of {backend!r} in a form that is not understood", answer
            ) from None

    def stuck(self, backend: str) -> dict[str, str]:
        """Keys of a backend's stick table, ready for a command, and the name of each one's server; none where there is no table.

        Keys that no command can name, for their bytes, are left out. Raises StepFailedError where the answer is not understood.
        """
        names = {str(server.id): server.name for server in self.servers(backend)}
        answer = self.ask(f"show table {backend}")
        if answer == "No such table":
            return {}
        head, *lines = answer.splitlines() or [""]
        entries = [_ENTRY.fullmatch(line) for line in lines]
        if not head.startswith(f"# table: {backend},") or None in entries:
            raise self._refused(f"lists the stick table of {backend!r} in a form that is not understood", answer)
        found = {each["key"]: _stuck_to(each, names) for each in entries if each}
        return {
            _SPECIAL.sub(r"\\\g<0>", key): name for key, name in found.items() if name and not _UNPRINTABLE.search(key)
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
                self._clear(backend, key)
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
            if _IN_USE not in self._clear(backend, key):
                return
            time.sleep(_PAUSE)
        raise StepFailedError(f"{backend}: the entry of {key!r} is in use all the time", component=self._component)

    def process(self) -> str:
        """Names the process that answers: a reload makes a new one."""
        facts = dict(line.partition(": ")[::2] for line in self.ask("show info").splitlines())
        if "Pid" not in facts:
            raise self._refused("does not say which process it is", " ".join(facts))
        return f"{facts['Pid']} {facts.get('Start_time_sec', '')}".strip()

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

    def _clear(self, backend: str, key: str) -> str:
        return self.do(f"clear table {backend} key {key}", _IN_USE, "Key not found")

    def _refused(self, what: str, answer: str) -> StepFailedError:
        said = " ".join(answer.split())[:_SAID] or "nothing"
        return StepFailedError(f"HAProxy at {self._host} {what}: it says {said!r}", component=self._component)


def _stuck_to(entry: re.Match[str], names: Mapping[str, str]) -> str | None:
    """The name of an entry's server: as the entry holds it, else by its number."""
    return entry["name"] if entry["name"] not in {None, "-"} else names.get(entry["server"] or "")


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
