"""Zones beyond the contract: name servers of the zone itself, more than one message holds, and what a server refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rollback_provider.components.dns.rfc2136 import DnsComponent
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import (
    ComponentUnavailableError,
    ConfigurationError,
    PermissionDeniedError,
    RollbackError,
    StepFailedError,
)
from rollback_provider.core.model import ComponentSpec
from rollback_provider.resources import Change, Digests
from rollback_provider.store import SnapshotStore
from tests.contract.suite import Scenario
from tests.contract.test_dns import DnsHarness
from tests.fix_progress import RecordedProgress
from tests.parts.forwarder import Forwarder


@pytest.fixture
def zone(bind: Forwarder, next_zone: Callable[[], str]) -> DnsHarness:
    """A zone."""
    return DnsHarness(bind, next_zone())


def test_name_servers_of_the_zone_go_back(zone: DnsHarness, memory_store: SnapshotStore) -> None:
    scenario, before = Scenario(zone, memory_store), zone.state()
    snapshot = scenario.snapshot()
    zone.update(("add", "ns2", 60, "A", "127.0.0.2"), ("add", "@", 60, "NS", "ns2"), ("delete", "@", "NS", "ns"))
    plan = scenario.generate(snapshot)
    scenario.execute(plan)
    scenario.assert_back(plan, before)


def test_an_alias_and_addresses_change_places(zone: DnsHarness, memory_store: SnapshotStore) -> None:
    scenario, before = Scenario(zone, memory_store), zone.state()
    snapshot = scenario.snapshot()
    zone.update(("delete", "api"), ("add", "api", 60, "A", "192.0.2.2"), ("add", "api", 60, "AAAA", "2001:db8::1"))
    zone.update(("delete", "www"), ("add", "www", 60, "CNAME", "mail"))
    plan = scenario.generate(snapshot)
    lines = [line for line in plan.steps[0].script.splitlines() if line.startswith("update ")]
    names = [line.split()[2].partition(".")[0] for line in lines]
    assert [lines.index(line) for line in lines if "delete" in line and names[lines.index(line)] == "api"] == [0, 1]
    assert "CNAME www.zone" in lines[2], "names are complete, so that nsupdate takes them for what they are"
    scenario.execute(plan)
    scenario.assert_back(plan, before)


def test_more_than_a_message_holds_goes_in_several(zone: DnsHarness, memory_store: SnapshotStore) -> None:
    scenario, before = Scenario(zone, memory_store), zone.state()
    snapshot = scenario.snapshot()
    for block in range(6):
        text = [("add", f"host{block}-{number}", 60, "TXT", f'"{"x" * 250}"') for number in range(60)]
        zone.update(*text)
    plan = scenario.generate(snapshot)
    assert len(plan.steps) > 2
    scenario.execute(plan)
    scenario.assert_back(plan, before)


def component(zone: DnsHarness, name: str | None = None, **changes: Any) -> DnsComponent:
    """The kind, with another connection or zone."""
    spec = ComponentSpec(kind="dns", name="names", connection="bind", options={"zone": name or zone.zone})
    return DnsComponent(spec, lambda connection: replace(zone.resolve(connection), **changes))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"login": None}, ConfigurationError, "holds no TSIG key"),
        ({"password": "no base64!"}, ConfigurationError, "malformed"),
        ({"extra": {"algorithm": "hmac-md6"}}, ConfigurationError, "algorithm"),
        ({"login": "another-key"}, PermissionDeniedError, "does not accept"),
        ({"extra": {"algorithm": "hmac-sha512"}}, PermissionDeniedError, "does not accept"),
    ],
)
def test_a_key_that_does_not_do(
    zone: DnsHarness, changes: dict[str, Any], error: type[RollbackError], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        component(zone, **changes).read(Digests())
    assert "no base64" not in str(raised.value)


def test_a_zone_that_the_server_does_not_serve(zone: DnsHarness) -> None:
    with pytest.raises(PermissionDeniedError, match=r"transfer of zone elsewhere\.test\. with NOTAUTH"):
        component(zone, "elsewhere.test").read(Digests())


def test_a_record_that_makes_no_sense_is_refused_and_nothing_is_written(zone: DnsHarness) -> None:
    before = zone.state()
    wrong = [
        Change("ns A", {"ttl": 300, "records": ["127.0.0.1"]}, None),
        Change("bad A", None, {"ttl": 60, "records": ["300.1.1.1"]}),
    ]
    with pytest.raises(StepFailedError, match="bad A"):
        component(zone).write(wrong, Digests(), RecordedProgress())  # type: ignore[arg-type]  # it reads no blob
    assert zone.state() == before


def test_a_zone_name_that_is_none() -> None:
    def resolve(connection_id: str) -> Connection:
        raise AssertionError(connection_id)

    for name in ("a..b", "x" * 64, ""):
        with pytest.raises(ConfigurationError, match="zone"):
            DnsComponent(ComponentSpec(kind="dns", name="names", connection="b", options={"zone": name}), resolve)


def test_something_else_than_a_name_server(zone: DnsHarness, unused_port: int) -> None:
    with pytest.raises(ComponentUnavailableError, match="gives no answer"):
        component(zone, port=unused_port).read(Digests())


@pytest.fixture
def unused_port() -> int:
    """Where nobody listens."""
    from tests.parts import free_port

    return free_port()
