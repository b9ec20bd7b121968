"""Zones of BIND keep the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import dns.name
import dns.query
import dns.rcode
import dns.tsig
import dns.update
import dns.xfr
import dns.zone
import pytest

from rollback_provider.core.component import Connection
from rollback_provider.core.model import ComponentSpec
from tests.contract.harness import Harness
from tests.contract.resource_suite import ResourceSuite
from tests.fix_bind import KEY, SECRET
from tests.parts.forwarder import Forwarder

RRSETS = dns.tsig.Key(KEY, SECRET, "hmac-sha256")


class DnsHarness:
    """A zone."""

    secrets = (SECRET,)
    part = "www A"

    def __init__(self, bind: Forwarder, zone: str) -> None:
        self._bind = bind
        self.zone = zone
        self._secret = SECRET
        self.spec = ComponentSpec(kind="dns", name="names", connection="bind", options={"zone": zone})

    def resolve(self, connection_id: str) -> Connection:
        """The server and its key."""
        return Connection(
            id=connection_id, type="dns", host="127.0.0.1", port=self._bind.port, login=KEY, password=self._secret
        )

    def update(self, *changes: tuple[Any, ...]) -> None:
        """Sends one update."""
        update = dns.update.UpdateMessage(self.zone, keyring=RRSETS)
        for verb, *arguments in changes:
            getattr(update, verb)(*arguments)
        answer = dns.query.tcp(update, "127.0.0.1", port=self._bind.port, timeout=10)
        assert answer.rcode() == dns.rcode.NOERROR

    def migrate(self) -> None:
        """Addresses, an alias that becomes an address, names that come and go, a lower TTL."""
        self.update(
            ("replace", "www", 30, "A", "192.0.2.20", "192.0.2.21"),
            ("delete", "api"),
            ("add", "api", 60, "A", "192.0.2.22"),
            ("delete", "old"),
            ("replace", "new", 60, "AAAA", "2001:db8::1"),
        )

    def migrate_again(self) -> None:
        """More of it."""
        self.update(
            ("replace", "www", 30, "A", "192.0.2.30"),
            ("replace", "next", 60, "TXT", '"two words" "and \\"quotes\\""'),
        )

    def application_write(self) -> None:
        """Other names."""
        self.update(("replace", "@", 300, "MX", "5 mail"), ("replace", "shop", 60, "CNAME", "www"))

    def drift(self) -> None:
        """Somebody else changes an address that the migration has changed."""
        self.update(("replace", "www", 30, "A", "192.0.2.99"))

    def drifted(self) -> bool:
        """It is there."""
        return "192.0.2.99" in str(self.state()["www", "A"])

    def state(self) -> dict[tuple[str, str], object]:
        """All record sets but the start of authority."""
        zone = dns.zone.Zone(dns.name.from_text(self.zone))
        query, _ = dns.xfr.make_query(zone, keyring=RRSETS)
        dns.query.inbound_xfr("127.0.0.1", zone, query, port=self._bind.port, timeout=10)
        return {
            (str(name), records.rdtype.name): (records.ttl, sorted(map(str, records)))
            for name, records in zone.iterate_rdatasets()
            if records.rdtype.name != "SOA"
        }

    def unreachable(self) -> AbstractContextManager[None]:
        """Nobody gets through."""
        return self._bind.closed()

    @contextmanager
    def wrong_credentials(self) -> Iterator[None]:
        """Another secret."""
        self._secret = "d3Jvbmc="  # noqa: S105  the wrong one
        yield
        self._secret = SECRET


class TestDns(ResourceSuite):
    """The contract, kept by kind ``dns``."""

    @pytest.fixture
    def make_harness(self, bind: Forwarder, next_zone: Callable[[], str]) -> Callable[[], Harness]:
        """Makes zones."""
        return lambda: DnsHarness(bind, next_zone())
