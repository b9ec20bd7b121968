"""etcd keeps the contract."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from rollback_provider.core.component import Connection
from rollback_provider.core.model import ComponentSpec
from tests.contract.harness import Harness
from tests.contract.resource_suite import ResourceSuite
from tests.fix_etcd import PASSWORD, Etcd
from tests.parts import free_port


class EtcdHarness:
    """The settings of a shop, below a prefix of their own."""

    secrets = (PASSWORD,)

    def __init__(self, etcd: Etcd, prefix: str) -> None:
        self.etcd = etcd
        self.prefix = prefix
        self.part = f"{prefix}workers"
        options = {"prefix": prefix, "exclude": [f"{prefix}secrets/*"]}
        self.spec = ComponentSpec(kind="etcd", name="settings", connection="settings", options=options)
        self._connection = etcd.connection()
        lease = etcd.ask("/lease/grant", TTL=600)["ID"]
        etcd.put(f"{prefix}workers", "4")
        etcd.put(f"{prefix}key", b"\xff\x00")
        etcd.put(f"{prefix}old", "")
        etcd.put(f"{prefix}secrets/token", "hunter2")
        etcd.put(f"{prefix}leader", "pod-1", lease)

    def resolve(self, connection_id: str) -> Connection:
        """A user who may read and write here."""
        return self._connection

    def migrate(self) -> None:
        """Values change, one key comes and one goes."""
        self.etcd.put(f"{self.prefix}workers", "8")
        self.etcd.put(f"{self.prefix}key", b"\xfe")
        self.etcd.put(f"{self.prefix}engine", "new")
        self.etcd.delete(f"{self.prefix}old")

    def migrate_again(self) -> None:
        """Some of it again, and more."""
        self.etcd.put(f"{self.prefix}workers", "16")
        self.etcd.put(f"{self.prefix}engine2", "newer")

    def application_write(self) -> None:
        """A tenant comes."""
        self.etcd.put(f"{self.prefix}tenants/ada", "paid")

    def drift(self) -> None:
        """Somebody else sets what the migration has set."""
        self.etcd.put(f"{self.prefix}workers", "9")

    def drifted(self) -> bool:
        """It is there."""
        return self.state()[f"{self.prefix}workers".removeprefix(self.prefix)] == b"9"

    def state(self) -> dict[str, bytes]:
        """All keys, whatever holds them."""
        first, end = (b64encode(each.encode()).decode() for each in (self.prefix, f"{self.prefix[:-1]}0"))
        found = self.etcd.ask("/kv/range", key=first, range_end=end).get("kvs", ())
        return {
            b64decode(each["key"]).decode().removeprefix(self.prefix): b64decode(each.get("value", ""))
            for each in found
        }

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Nobody listens."""
        there, self._connection = self._connection, replace(self._connection, port=free_port())
        yield
        self._connection = there

    @contextmanager
    def wrong_credentials(self) -> Iterator[None]:
        """A user whom etcd does not know."""
        right, self._connection = self._connection, replace(self._connection, login="nobody")
        yield
        self._connection = right


class TestEtcd(ResourceSuite):
    """The contract, kept by kind ``etcd``."""

    @pytest.fixture
    def make_harness(self, etcd: Etcd, next_prefix: Callable[[], str]) -> Callable[[], Harness]:
        """Makes prefixes."""
        return lambda: EtcdHarness(etcd, next_prefix())
