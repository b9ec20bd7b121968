"""A connection pooler in front of a PostgreSQL server, in the two modes that poolers have.

Like PgBouncer it answers a client's start-up itself, with a process id of its own making, and lends it a server connection for one
transaction or for the whole session. It is a few threads of the tests' own process, on a socket.
"""

from __future__ import annotations

import secrets
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from select import select
from tempfile import TemporaryDirectory

import pytest

from tests.fix_postgres import Database

_PORT_FILE = ".s.PGSQL.5432"
_WAITING = b"QSF"
"""Messages that the server answers with ReadyForQuery."""


class _Messages:
    """Cuts a stream into the protocol's messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Type and content of each message that is complete."""
        self._rest += data
        while len(self._rest) >= 5:
            end = 1 + struct.unpack("!I", self._rest[1:5])[0]
            if len(self._rest) < end:
                return
            message, self._rest = self._rest[:end], self._rest[end:]
            yield message[:1], message[5:]


class Pooler:
    """Lends out server connections: the one that came back last goes first."""

    def __init__(self, server: str, *, per_transaction: bool) -> None:
        self._server = f"{server}/{_PORT_FILE}"
        self._per_transaction = per_transaction
        self._idle: list[socket.socket] = []
        self._open: list[socket.socket] = []
        self._clients: list[threading.Thread] = []
        self._lock = threading.Lock()

    def serve(self, listener: socket.socket) -> None:
        """Takes clients until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self._open.append(client)
                self._clients.append(threading.Thread(target=self._client, args=(client,), daemon=True))
                self._clients[-1].start()

    def close(self) -> None:
        """Ends all connections."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for client in self._clients:
            client.join()
        for each in self._open:
            each.close()

    def _client(self, client: socket.socket) -> None:
        with suppress(OSError, struct.error), _shut(client):
            size = client.recv(4, socket.MSG_WAITALL)
            startup = size + client.recv(struct.unpack("!I", size)[0] - 4, socket.MSG_WAITALL)
            first, greeting = self._connect(startup)
            self._give_back(first)
            key = b"K" + struct.pack("!I", 12) + secrets.token_bytes(8)
            client.sendall(greeting + key + b"Z\x00\x00\x00\x05I")
            self._relay(client)

    def _relay(self, client: socket.socket) -> None:
        asked, answered = _Messages(), _Messages()
        waiting, server = 0, None
        while True:
            readable, _, _ = select([client, server] if server else [client], [], [])
            if client in readable:
                data = client.recv(65536)
                if not data or data[:1] == b"X":
                    if server:
                        server.close()  # what the session has left behind goes with it
                    return
                server = server or self._borrow()
                waiting += sum(kind in _WAITING for kind, _ in asked.feed(data))
                server.sendall(data)
            if server in readable:
                data = server.recv(65536)
                if not data:
                    return
                client.sendall(data)
                for kind, content in answered.feed(data):
                    waiting -= kind == b"Z"
                    if kind == b"Z" and content == b"I" and not waiting and self._per_transaction:
                        self._give_back(server)
                        server = None
                        break

    def _connect(self, startup: bytes) -> tuple[socket.socket, bytes]:
        """A new server connection, and what the server said of itself."""
        server = socket.socket(socket.AF_UNIX)
        self._open.append(server)
        server.connect(self._server)
        server.sendall(startup)
        self._startup, messages, greeting = startup, _Messages(), b""
        while data := server.recv(65536):
            for kind, content in messages.feed(data):
                if kind == b"Z":
                    return server, greeting
                if kind != b"K":
                    greeting += kind + struct.pack("!I", len(content) + 4) + content
        raise ConnectionError("the server has closed the connection")

    def _borrow(self) -> socket.socket:
        with self._lock:
            return self._idle.pop() if self._idle else self._connect(self._startup)[0]

    def _give_back(self, server: socket.socket) -> None:
        with self._lock:
            self._idle.append(server)


@contextmanager
def _shut(client: socket.socket) -> Iterator[None]:
    """Tells the client that it has gone, however that came."""
    try:
        yield
    finally:
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def pooling(server: str, *, per_transaction: bool) -> Iterator[str]:
    """Runs a pooler in front of a server's socket; gives the directory of its own."""
    with TemporaryDirectory(prefix="pooler-") as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(Path(directory) / _PORT_FILE))
        listener.listen()
        pooler = Pooler(server, per_transaction=per_transaction)
        threading.Thread(target=pooler.serve, args=(listener,), daemon=True).start()
        try:
            yield directory
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            pooler.close()


@pytest.fixture
def pooled(database: Database) -> Iterator[Callable[[str], Database]]:
    """Gives the test's database as seen through a pooler, which lends connections per ``transaction`` or ``session``."""
    with ExitStack() as stack:
        yield lambda mode: Database(
            stack.enter_context(pooling(database.socket, per_transaction=mode == "transaction")), database.name
        )
