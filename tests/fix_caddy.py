"""A real Caddy, once a session, with a server of its own for every test that wants one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from tests.parts import answers, find_program, free_port, running
from tests.parts.forwarder import Forwarder

_KEPT = 6
"""Servers that a test may still use; older ones are removed, for Caddy loads all of them at every change."""

_TRIES = 20


@dataclass(frozen=True)
class Caddy:
    """A Caddy, and ways to its admin API.

    :param way: as the tests reach it
    :param stranger: a way under a name that Caddy does not accept
    """

    folder: Path
    client: httpx.Client
    way: Forwarder
    stranger: Forwarder

    def send(self, method: str, path: str, value: Any = None) -> Any:
        """Speaks to it past the component, again where the change before has just taken the listener away."""
        for attempt in range(_TRIES):
            try:
                answer = self.client.request(method, path, json=value)
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            if not (attempt and answer.status_code in {404, 409}):  # the try before may have come through
                answer.raise_for_status()
            return answer.json() if method == "GET" else None
        raise AssertionError(f"{method} {path} gets no answer")


@pytest.fixture(scope="session")
def caddy() -> Iterator[Caddy]:
    """The server."""
    with TemporaryDirectory(prefix="rollback-caddy-") as name, _forwarded() as (admin, way, stranger):
        folder = Path(name)
        allowed = [f"127.0.0.1:{port}" for port in (admin, way.port)]
        configuration = {
            "admin": {"listen": f"127.0.0.1:{admin}", "origins": allowed, "config": {"persist": False}},
            "storage": {"module": "file_system", "root": name},
            "logging": {"logs": {"default": {"level": "ERROR"}}},
            "apps": {"http": {"servers": {}}},
        }
        (folder / "caddy.json").write_text(json.dumps(configuration))
        environment = {**os.environ, "HOME": name, "XDG_CONFIG_HOME": name, "XDG_DATA_HOME": name}
        command = [find_program("caddy"), "run", "--config", str(folder / "caddy.json")]
        with (
            running(command, lambda: answers(admin), folder / "log", environment),
            httpx.Client(base_url=f"http://127.0.0.1:{admin}", headers={"Connection": "close"}) as client,
        ):
            yield Caddy(folder, client, way, stranger)


@contextmanager
def _forwarded() -> Iterator[tuple[int, Forwarder, Forwarder]]:
    admin = free_port()
    way, stranger = Forwarder(admin), Forwarder(admin)
    try:
        yield admin, way, stranger
    finally:
        way.close()
        stranger.close()


@pytest.fixture(scope="session")
def next_server(caddy: Caddy) -> Callable[[], str]:
    """Makes a server that no test has used, with a proxy and two routes; gives its name."""
    numbers = count()

    def make() -> str:
        number = next(numbers)
        proxy = {
            "@id": f"proxy{number}",
            "handler": "reverse_proxy",
            "upstreams": [{"dial": "127.0.0.1:9001"}],
            "load_balancing": {"selection_policy": {"policy": "first"}},
        }
        server = {
            "listen": [f"unix/{caddy.folder}/{number}.sock"],
            "automatic_https": {"disable": True},
            "routes": [{"handle": [proxy]}],
            "named_routes": {
                name: {"handle": [{"handler": "static_response", "body": name}]} for name in ("old", "kept")
            },
        }
        caddy.send("PUT", f"/config/apps/http/servers/s{number}", server)
        if number >= _KEPT:
            caddy.send("DELETE", f"/config/apps/http/servers/s{number - _KEPT}")
        return str(number)

    return make
