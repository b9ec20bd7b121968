"""PowerDNS keeps the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from rollback_provider.core.component import Connection
from rollback_provider.core.model import ComponentSpec
from tests.contract.harness import Harness
from tests.contract.resource_suite import ResourceSuite
from tests.fix_powerdns import API_KEY, Powerdns


class PowerdnsHarness:
    """A zone."""

    secrets = (API_KEY,)
    part = "www A"

    def __init__(self, server: Powerdns, zone: str) -> None:
        self._server = server
        self.zone = zone
        self._key = API_KEY
        self.spec = ComponentSpec(kind="powerdns", name="names", connection="powerdns", options={"zone": zone})

    def resolve(self, connection_id: str) -> Connection:
        """The server and its key."""
        return Connection(
            id=connection_id, type="http", host="127.0.0.1", port=self._server.way.port, password=self._key
        )

    def put(self, name: str, kind: str, ttl: int, *contents: str, **more: Any) -> None:
        """Writes a record set; without contents it is deleted."""
        record_set = {
            "name": f"{name}.{self.zone}".lstrip("."),
            "type": kind,
            "ttl": ttl,
            "changetype": "REPLACE" if contents else "DELETE",
            "records": [{"content": content, "disabled": False} for content in contents],
            **more,
        }
        self._server.send("PATCH", f"/{self.zone}", {"rrsets": [record_set]})

    def migrate(self) -> None:
        """Addresses, an alias that becomes an address, names that come and go, a lower TTL, a comment."""
        self.put("www", "A", 30, "192.0.2.20", "192.0.2.21", comments=[{"account": "tool", "content": "moved"}])
        self.put("api", "CNAME", 0)
        self.put("api", "A", 60, "192.0.2.22")
        self.put("old", "A", 0)
        self.put("new", "AAAA", 60, "2001:db8::1")

    def migrate_again(self) -> None:
        """More of it."""
        self.put("www", "A", 30, "192.0.2.30")
        self.put("next", "TXT", 60, '"two words" "and \\"quotes\\""')

    def application_write(self) -> None:
        """Other names."""
        self.put("", "MX", 300, f"5 mail.{self.zone}")
        self.put("shop", "CNAME", 60, f"www.{self.zone}")

    def drift(self) -> None:
        """Somebody else changes an address that the migration has changed."""
        self.put("www", "A", 30, "192.0.2.99")

    def drifted(self) -> bool:
        """It is there."""
        return "192.0.2.99" in str(self.state())

    def state(self) -> object:
        """All record sets but the start of authority, without names of the zone and times."""
        return {
            (each["name"].removesuffix(self.zone), each["type"]): (
                each["ttl"],
                sorted((one["content"].replace(self.zone, ""), one["disabled"]) for one in each["records"]),
                sorted((one["account"], one["content"]) for one in each["comments"]),
            )
            for each in self._server.send("GET", f"/{self.zone}")["rrsets"]
            if each["type"] != "SOA"
        }

    def unreachable(self) -> AbstractContextManager[None]:
        """Nobody gets through."""
        return self._server.way.closed()

    @contextmanager
    def wrong_credentials(self) -> Iterator[None]:
        """Another key."""
        self._key = "another"
        yield
        self._key = API_KEY


class TestPowerdns(ResourceSuite):
    """The contract, kept by kind ``powerdns``."""

    @pytest.fixture
    def make_harness(self, powerdns: Powerdns, next_powerdns_zone: Callable[[], str]) -> Callable[[], Harness]:
        """Makes zones."""
        return lambda: PowerdnsHarness(powerdns, next_powerdns_zone())
