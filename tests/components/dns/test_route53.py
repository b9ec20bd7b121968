"""Zones of Route 53 beyond the contract: batches that are refused, how they part, what a person is told."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from rollback_provider.components.dns.route53 import Route53Component, address_of, change_batch, fields_of
from rollback_provider.core.errors import ComponentError, ConfigurationError, StepFailedError
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.repository import Store
from rollback_provider.resources import Change, Digests, MovedError
from tests.contract.suite import Scenario
from tests.contract.test_route53 import Route53Harness
from tests.fix_progress import RecordedProgress
from tests.fix_store import S3
from tests.parts.gate import Gate, refusal

OLD, NEW = {"TTL": 300, "ResourceRecords": ["192.0.2.1"]}, {"TTL": 30, "ResourceRecords": ["192.0.2.2"]}
CHANGE = Change("www.shop.example. A", NEW, OLD)
WRITES = ("route53", "ChangeResourceRecordSets")


@pytest.fixture
def shop(s3: S3, gate: Gate) -> Route53Harness:
    """A zone behind the gate."""
    made = Route53Harness(s3)
    made.endpoint = gate.endpoint
    return made


def component(**options: Any) -> Route53Component:
    """A component that asks nobody."""
    spec = ComponentSpec(kind="route53", name="names", connection="c", options={"zone_id": "Z1", **options})
    return Route53Component(spec, S3("http://127.0.0.1:9").connection)


def pending(passed_on: Callable[[], httpx.Response]) -> httpx.Response:
    """What moto answers, but that not all name servers have the change."""
    return httpx.Response(200, content=passed_on().content.replace(b"INSYNC", b"PENDING"))


def test_where_somebody_was_faster_the_refused_batch_is_decided_anew(
    shop: Route53Harness, gate: Gate, memory_store: Store
) -> None:
    """Route 53 refuses it by its values; moto does not, so the refusal is put in its mouth."""
    scenario = Scenario(shop, memory_store)
    _, plan = scenario.migrated(write=False)
    raced = False

    def race(passed_on: Callable[[], httpx.Response]) -> httpx.Response:
        nonlocal raced
        if raced:
            return passed_on()
        raced = True
        shop.drift()
        return refusal(*WRITES, "InvalidChangeBatch", "whatever Route 53 says")

    with gate.troubling(*WRITES, race):
        record = scenario.execute(plan)
    assert record.execution.status == "executed"
    assert shop.drifted()
    assert not [each for each in shop.records() if each["Name"].startswith("new.")], "the others are back"


def test_a_batch_that_is_refused_for_itself_is_told(shop: Route53Harness, gate: Gate, memory_store: Store) -> None:
    scenario, before = Scenario(shop, memory_store), shop.state()
    _, plan = scenario.migrated(write=False)
    migrated = shop.state()
    with (
        gate.refusing(*WRITES, "InvalidChangeBatch", "a value is no address"),
        pytest.raises(
            StepFailedError, match=r"names: Route 53 does not take .*no address\. Nothing of the batch was written"
        ),
    ):
        scenario.execute(plan)
    assert shop.state() == migrated
    scenario.execute(plan)
    scenario.assert_back(plan, before)


def test_a_record_set_elsewhere_is_refused_by_moto_itself(shop: Route53Harness) -> None:
    with pytest.raises(StepFailedError, match=r"names: Route 53 does not take the batch: .*not permitted in zone"):
        Route53Component(shop.spec, shop.resolve).write([replace(CHANGE, now=None)], Digests(), RecordedProgress())  # type: ignore[arg-type]  # it reads no blob


def test_a_step_ends_when_all_name_servers_have_it(shop: Route53Harness, gate: Gate, memory_store: Store) -> None:
    """Moto's always have, so its answer to the batch is altered."""
    scenario = Scenario(shop, memory_store)
    _, plan = scenario.migrated()
    with gate.troubling(*WRITES, pending), gate.troubling("route53", "GetChange", lambda passed_on: passed_on()):
        scenario.execute(plan)
    assert gate.asked.count("GetChange") == 1


def test_waiting_for_name_servers_is_cancelled(shop: Route53Harness, gate: Gate) -> None:
    names = Route53Component(shop.spec, shop.resolve)
    names.cancel()
    with gate.troubling(*WRITES, pending), pytest.raises(ComponentError, match="names: Cancelled"):
        names.write([Change(f"late.{shop.apex} A", None, OLD)], Digests(), RecordedProgress())  # type: ignore[arg-type]  # it reads no blob


def test_somebody_has_made_what_is_to_come(shop: Route53Harness, gate: Gate) -> None:
    names = Route53Component(shop.spec, shop.resolve)
    with gate.refusing(*WRITES, "InvalidChangeBatch"), pytest.raises(MovedError, match="www"):
        names.write([Change(f"www.{shop.apex} A", None, OLD)], Digests(), RecordedProgress())  # type: ignore[arg-type]  # it reads no blob


def test_a_batch_takes_out_exactly_what_was_there_before_it_puts_in() -> None:
    record = {"Name": "www.shop.example.", "Type": "A", "SetIdentifier": "two words", "Weight": 0, "TTL": 5}
    record["ResourceRecords"] = [{"Value": "192.0.2.1"}]
    change = Change(address_of(record), fields_of(record), None)
    batch = change_batch([Change("new.shop.example. A", None, OLD), change])
    assert [each["Action"] for each in batch] == ["DELETE", "CREATE"]
    assert batch[0]["ResourceRecordSet"] == record


def test_the_order_of_values_means_nothing() -> None:
    values = [{"Value": "192.0.2.2"}, {"Value": "192.0.2.1"}]
    one, other = ({"Name": "a.", "Type": "A", "TTL": 5, "ResourceRecords": each} for each in (values, values[::-1]))
    assert fields_of(one) == fields_of(other)


def test_batches_are_as_large_as_route_53_takes_them(memory_store: Store) -> None:
    many = [Change(f"n{number}.shop.example. A", NEW, OLD) for number in range(1100)]
    sizes = [len(batch.changes) for batch in component().batches(many, memory_store)]
    assert sizes == [500, 500, 100]
    texts = [Change(f"n{number}.x. TXT", None, {"TTL": 5, "ResourceRecords": ["x" * 4000]}) for number in range(9)]
    assert [len(batch.changes) for batch in component().batches(texts, memory_store)] == [8, 1]
    assert not [*component().batches([], memory_store)]


def test_commands_and_notes() -> None:
    words = shlex.split(component().command(CHANGE))
    assert words[:3] == ["aws", "route53", "change-resource-record-sets"]
    assert json.loads(words[-1]) == {"HostedZoneId": "Z1", "ChangeBatch": {"Changes": change_batch([CHANGE])}}
    alias = replace(CHANGE, now={"AliasTarget": {}})
    assert ["another 30 seconds" in component().notes([CHANGE])[0], "another 60" in component().notes([alias])[0]]
    assert not component().notes([replace(CHANGE, now=None)])


def test_options_name_a_zone_by_id() -> None:
    with pytest.raises(ConfigurationError, match="zone_id"):
        component(zone_id="shop.example")


def test_a_zone_that_is_not_there(shop: Route53Harness) -> None:
    spec = shop.spec.model_copy(update={"options": {"zone_id": "Z1"}})
    with pytest.raises(ConfigurationError, match="names: There is no hosted zone Z1"):
        Route53Component(spec, shop.resolve).read(Digests())
