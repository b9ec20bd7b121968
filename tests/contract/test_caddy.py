"""Caddy keeps the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from rollback_provider.core.component import Connection
from rollback_provider.core.model import ComponentSpec
from tests.contract.harness import Harness
from tests.contract.resource_suite import ResourceSuite
from tests.fix_caddy import Caddy


class CaddyHarness:
    """A proxy, and named routes."""

    secrets = ()

    def __init__(self, caddy: Caddy, number: str) -> None:
        self._caddy = caddy
        self._port = caddy.way.port
        self.server = f"/config/apps/http/servers/s{number}"
        self._proxy = self.part = f"/id/proxy{number}"
        self.spec = ComponentSpec(
            kind="caddy",
            name="edge",
            connection="caddy",
            options={"paths": [self._proxy, f"{self.server}/named_routes/*", f"{self.server}/read_timeout"]},
        )

    def resolve(self, connection_id: str) -> Connection:
        """The admin API."""
        return Connection(id=connection_id, type="http", host="127.0.0.1", port=self._port)

    def _route(self, name: str, body: str) -> None:
        path, value = f"{self.server}/named_routes/{name}", {"handle": [{"handler": "static_response", "body": body}]}
        self._caddy.send("POST", path, value)

    def migrate(self) -> None:
        """Another upstream, one route for another, a limit that was not there."""
        self._caddy.send("PATCH", f"{self._proxy}/upstreams", [{"dial": "127.0.0.1:9002"}])
        self._route("new", "new")
        if "old" in self._caddy.send("GET", f"{self.server}/named_routes"):
            self._caddy.send("DELETE", f"{self.server}/named_routes/old")
        self._caddy.send("POST", f"{self.server}/read_timeout", 5_000_000_000)

    def migrate_again(self) -> None:
        """More of it."""
        self._caddy.send("PATCH", f"{self._proxy}/upstreams", [{"dial": "127.0.0.1:9003"}])
        self._route("newer", "newer")

    def application_write(self) -> None:
        """Somebody edits other routes."""
        self._route("kept", "edited")
        self._route("more", "more")

    def drift(self) -> None:
        """Somebody else changes the upstream."""
        self._caddy.send("PATCH", f"{self._proxy}/upstreams", [{"dial": "127.0.0.1:9099"}])

    def undrift(self) -> None:
        """And back."""
        self._caddy.send("PATCH", f"{self._proxy}/upstreams", [{"dial": "127.0.0.1:9001"}])

    def drifted(self) -> bool:
        """It is there."""
        return "9099" in str(self._caddy.send("GET", f"{self._proxy}/upstreams"))

    def state(self) -> object:
        """The server, but for its name."""
        server = self._caddy.send("GET", self.server)
        del server["listen"], server["routes"][0]["handle"][0]["@id"]
        return server

    def unreachable(self) -> AbstractContextManager[None]:
        """Nobody gets through."""
        return self._caddy.way.closed()

    @contextmanager
    def wrong_credentials(self) -> Iterator[None]:
        """A name that Caddy does not accept."""
        self._port = self._caddy.stranger.port
        yield
        self._port = self._caddy.way.port


class TestCaddy(ResourceSuite):
    """The contract, kept by kind ``caddy``."""

    @pytest.fixture
    def make_harness(self, caddy: Caddy, next_server: Callable[[], str]) -> Callable[[], Harness]:
        """Makes servers."""
        return lambda: CaddyHarness(caddy, next_server())
