"""A real etcd that knows users, once a session, with a prefix for every test that wants one."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from rollback_provider.core.component import Connection
from tests.parts import answers, find_program, free_port, running

ROOT = "/contract/"
PASSWORD = "open sesame"  # noqa: S105  of the session's server


class Etcd:
    """A running etcd, as its administrator sees it. ``shop`` may read and write below ``/contract/``, ``guest`` nothing."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}/v3")

    def ask(self, path: str, **body: Any) -> dict[str, Any]:
        """Asks the gateway."""
        answer: dict[str, Any] = self._client.post(path, json=body).raise_for_status().json()
        return answer

    def enable_users(self) -> None:
        """Creates users and demands them from now on."""
        for name in ("root", "shop", "guest"):
            self.ask("/auth/user/add", name=name, password=PASSWORD)
            self.ask("/auth/role/add", name=name)
            self.ask("/auth/user/grant", user=name, role=name)
        key, end = (b64encode(each.encode()).decode() for each in (ROOT, "/contract0"))
        self.ask("/auth/role/grant", name="shop", perm={"permType": "READWRITE", "key": key, "range_end": end})
        self.ask("/auth/enable")
        token = self.ask("/auth/authenticate", name="root", password=PASSWORD)["token"]
        self._client.headers["Authorization"] = token

    def put(self, key: str, value: bytes | str, lease: str = "0") -> None:
        """Writes a key."""
        content = value if isinstance(value, bytes) else value.encode()
        self.ask("/kv/put", key=_text(key), value=b64encode(content).decode(), lease=lease)

    def delete(self, key: str) -> None:
        """Deletes a key."""
        self.ask("/kv/deleterange", key=_text(key))

    def close(self) -> None:
        """Ends the administrator's connection."""
        self._client.close()

    def connection(self, login: str = "shop") -> Connection:
        """As a component sees it."""
        return Connection("settings", "etcd", host="127.0.0.1", port=self.port, login=login, password=PASSWORD)


def _text(key: str) -> str:
    return b64encode(key.encode()).decode()


@pytest.fixture(scope="session")
def etcd() -> Iterator[Etcd]:
    """The session's etcd."""
    with TemporaryDirectory(prefix="rollback-etcd-") as name:
        port, peer = free_port(), free_port()
        url, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
        command = [find_program("etcd"), "--data-dir", f"{name}/data", "--unsafe-no-fsync", "--bcrypt-cost", "4"]
        command += ["--listen-client-urls", url, "--advertise-client-urls", url]
        command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
        command += ["--initial-cluster", f"default={peers}"]
        with running(command, lambda: answers(port), Path(name) / "log"):
            server = Etcd(port)
            server.enable_users()
            yield server
            server.close()


_numbers = count(1)


@pytest.fixture
def next_prefix() -> Callable[[], str]:
    """Gives a prefix that no test has used."""
    return lambda: f"{ROOT}{next(_numbers)}/"
