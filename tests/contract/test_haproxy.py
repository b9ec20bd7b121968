"""HAProxy keeps the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rollback_provider.components.traffic.haproxy_socket import RuntimeApi
from rollback_provider.core.component import Connection
from rollback_provider.core.model import ComponentSpec
from tests.contract.harness import Harness
from tests.contract.resource_suite import ResourceSuite


class HaproxyHarness:
    """A backend with three servers, and users who stick to them."""

    secrets = ()

    def __init__(self, folder: Path, backend: str) -> None:
        self.backend = backend
        self.part = f"{backend}/s1"
        self.spec = ComponentSpec(
            kind="haproxy", name="edge", connection="edge", options={"backends": [backend], "drain_seconds": 0.2}
        )
        self._folder = folder
        self._socket = folder / "admin.sock"
        self.api = RuntimeApi("test", Connection("edge", "haproxy", host=str(self._socket)))
        self._stick("ada", "s1")
        self._stick(r"old\ user", "s3")

    def _stick(self, key: str, server: str) -> None:
        self.api.stick(self.backend, {key: server})

    def _set(self, server: str, what: str) -> None:
        self.api.do(f"set server {self.backend}/{server} {what}", "changed from")

    def resolve(self, connection_id: str) -> Connection:
        """The stats socket."""
        return Connection(id=connection_id, type="haproxy", host=str(self._socket))

    def migrate(self) -> None:
        """From s1 to a new s2 and a fourth server; users go with it."""
        self._set("s2", "addr 127.0.0.1 port 9022")
        self._set("s2", "weight 100")
        self._set("s2", "state ready")
        self._set("s1", "weight 0")
        if "s4" not in [server.name for server in self.api.servers(self.backend)]:
            self.api.do(f"add server {self.backend}/s4 127.0.0.1:9004 weight 20", "New server registered")
        self._set("s4", "state ready")
        self._stick("ada", "s2")
        self.api.do(rf"clear table {self.backend} key old\ user", "Key not found")

    def migrate_again(self) -> None:
        """Further still."""
        self._set("s2", "weight 200")
        self._set("s1", "state maint")
        self._stick("ada", "s4")

    def application_write(self) -> None:
        """Somebody gives s3 more weight, and a user comes."""
        self._set("s3", "weight 30")
        self._stick("grace", "s3")

    def drift(self) -> None:
        """Somebody gives some of it back to s1."""
        self._set("s1", "weight 7")

    def drifted(self) -> bool:
        """It is there."""
        return self.api.servers(self.backend)[0].weight == 7

    def state(self) -> object:
        """Servers and users; ids are given anew."""
        servers = self.api.servers(self.backend)
        return (
            {server.name: (server.address, server.port, server.state, server.weight) for server in servers},
            self.api.stuck(self.backend),
        )

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """The socket is away."""
        away = self._socket.rename(self._folder / "away.sock")
        yield
        away.rename(self._socket)

    @contextmanager
    def wrong_credentials(self) -> Iterator[None]:
        """A socket that may only look."""
        self._socket = self._folder / "operator.sock"
        yield
        self._socket = self._folder / "admin.sock"


class TestHaproxy(ResourceSuite):
    """The contract, kept by kind ``haproxy``."""

    stride = 3

    @pytest.fixture
    def make_harness(self, haproxy: Path, next_backend: Callable[[], str]) -> Callable[[], Harness]:
        """Makes backends."""
        return lambda: HaproxyHarness(haproxy, next_backend())
