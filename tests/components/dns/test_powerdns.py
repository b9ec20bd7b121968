"""PowerDNS beyond the contract: what is refused, and what a call that fails leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest

from rollback_provider.components.dns.powerdns import PowerdnsComponent
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ConfigurationError, StepFailedError, UnsupportedError
from rollback_provider.core.model import ComponentSpec
from rollback_provider.resources import Change, Digests, MovedError
from rollback_provider.store import SnapshotStore
from tests.contract.suite import Scenario
from tests.contract.test_powerdns import PowerdnsHarness
from tests.fix_powerdns import API_KEY, Powerdns
from tests.fix_progress import RecordedProgress


@pytest.fixture
def zone(powerdns: Powerdns, next_powerdns_zone: Callable[[], str]) -> PowerdnsHarness:
    """A zone."""
    return PowerdnsHarness(powerdns, next_powerdns_zone())


@pytest.fixture
def component(zone: PowerdnsHarness) -> Iterator[PowerdnsComponent]:
    """The kind."""
    made = PowerdnsComponent(zone.spec, zone.resolve)
    yield made
    made.close()


def write(component: PowerdnsComponent, *changes: Change) -> None:
    """Writes past the engine."""
    component.write(changes, Digests(), RecordedProgress())  # type: ignore[arg-type]  # it reads no blob


def fields(*contents: str) -> dict[str, Any]:
    """A record set."""
    return {"ttl": 60, "records": [{"content": each, "disabled": False} for each in contents], "comments": []}


def test_a_record_that_is_switched_off_comes_back_so(
    zone: PowerdnsHarness, powerdns: Powerdns, memory_store: SnapshotStore
) -> None:
    off = {"records": [{"content": "192.0.2.1", "disabled": False}, {"content": "192.0.2.2", "disabled": True}]}
    zone.put("www", "A", 60, "192.0.2.1", **off)
    scenario, before = Scenario(zone, memory_store), zone.state()
    snapshot = scenario.snapshot()
    zone.put("www", "A", 60, "192.0.2.1", "192.0.2.2")
    plan = scenario.generate(snapshot)
    scenario.execute(plan)
    scenario.assert_back(plan, before)


def test_an_alias_and_an_address_change_places(zone: PowerdnsHarness, memory_store: SnapshotStore) -> None:
    scenario, before = Scenario(zone, memory_store), zone.state()
    snapshot = scenario.snapshot()
    zone.put("api", "CNAME", 0)
    zone.put("api", "A", 60, "192.0.2.2")
    zone.put("www", "A", 0)
    zone.put("www", "CNAME", 60, f"ns.{zone.zone}")
    plan = scenario.generate(snapshot)
    assert any("www CNAME: caches may answer" in note and "60 seconds" in note for note in plan.components[0].notes)
    scenario.execute(plan)
    scenario.assert_back(plan, before)


def test_a_bad_record_is_refused_and_nothing_of_the_call_is_written(
    zone: PowerdnsHarness, component: PowerdnsComponent
) -> None:
    before = zone.state()
    changes = (Change("good A", None, fields("192.0.2.3")), Change("bad A", None, fields("192.0.2.333")))
    with pytest.raises(StepFailedError, match=r"422: .*bad\.zone.*unable to parse IP address"):
        write(component, *changes)
    assert zone.state() == before


def test_a_record_set_that_is_not_what_it_was_is_not_written(
    zone: PowerdnsHarness, component: PowerdnsComponent
) -> None:
    before = zone.state()
    for now in (None, fields("192.0.2.250")):
        with pytest.raises(MovedError, match="www A"):
            write(component, Change("www A", now, fields("192.0.2.3")))
    assert zone.state() == before


def test_a_zone_that_comes_from_elsewhere_is_refused(zone: PowerdnsHarness, powerdns: Powerdns) -> None:
    name = f"copy-of-{zone.zone}"
    powerdns.send("POST", "", {"name": name, "kind": "Slave", "masters": ["127.0.0.1:1"]})
    spec = zone.spec.model_copy(update={"options": {"zone": name}})
    with pytest.raises(UnsupportedError, match="comes from another server"):
        PowerdnsComponent(spec, zone.resolve).read(Digests())


def test_names_with_a_slash(zone: PowerdnsHarness, powerdns: Powerdns, next_powerdns_zone: Callable[[], str]) -> None:
    name = f"0/25.{zone.zone}"
    powerdns.send("POST", "", {"name": name, "kind": "Native", "nameservers": [f"ns.{zone.zone}"]})
    spec = zone.spec.model_copy(update={"options": {"zone": name}})
    made = PowerdnsComponent(spec, zone.resolve)
    assert list(made.read(Digests())) == ["@ NS"]
    write(made, Change("5 PTR", None, fields(f"www.{zone.zone}")))
    assert "5 PTR" in made.read(Digests())
    made.close()


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ({"zone": "nowhere.test"}, {}, r"no zone nowhere\.test\."),
        ({"server": "elsewhere"}, {}, "no zone"),
        ({}, {"password": None}, "holds no API key"),
        ({"zone": ""}, {}, "zone"),
        ({"zone": "a..b"}, {}, "zone"),
        ({"zone": "a b"}, {}, "zone"),
    ],
)
def test_what_there_is_not(
    zone: PowerdnsHarness, options: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    spec = ComponentSpec(kind="powerdns", name="names", connection="p", options={"zone": zone.zone, **options})
    with pytest.raises(ConfigurationError, match=message):
        PowerdnsComponent(spec, lambda name: replace(zone.resolve(name), **changes)).read(Digests())


class Strange(BaseHTTPRequestHandler):
    """Says something else than a zone."""

    says: ClassVar[bytes] = b""

    def do_GET(self) -> None:
        """Says it."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.says)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.mark.parametrize(
    "says", [b"It works!", b"[]", b"{}", b'{"kind": "Native", "rrsets": [{"name": "a."}]}', b"\xff"]
)
def test_another_server_than_powerdns(says: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Strange, "says", says)
    spec = ComponentSpec(kind="powerdns", name="names", connection="p", options={"zone": "shop.test"})
    with ThreadingHTTPServer(("127.0.0.1", 0), Strange) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        where = Connection("p", "http", host="127.0.0.1", port=server.server_port, password=API_KEY)
        made = PowerdnsComponent(spec, lambda _: where)
        with pytest.raises(StepFailedError, match="is no zone of PowerDNS"):
            made.read(Digests())
        made.close()
        server.shutdown()
