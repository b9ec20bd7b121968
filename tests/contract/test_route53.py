"""Hosted zones of Route 53, as moto emulates it, keep the contract."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from rollback_provider.core.model import ComponentSpec
from tests.contract.aws import AwsHarness
from tests.contract.harness import Harness
from tests.contract.resource_suite import ResourceSuite
from tests.contract.suite import Scenario
from tests.fix_store import S3

_numbers = count(1)


class Route53Harness(AwsHarness):
    """A zone."""

    def __init__(self, s3: S3) -> None:
        super().__init__(s3)
        self._route53 = s3.client("route53")
        number = next(_numbers)
        self.apex = f"zone{number}.test."
        made = self._route53.create_hosted_zone(Name=self.apex, CallerReference=str(number))
        self.zone = made["HostedZone"]["Id"].rpartition("/")[2]
        self.put(
            self.plain("www", 300, "192.0.2.1", "192.0.2.2"),
            self.plain("old", 300, "192.0.2.3"),
            self.weighted("blue", 90),
        )
        self.part = f"www.{self.apex} A"
        self.spec = ComponentSpec(kind="route53", name="names", connection="cloud", options={"zone_id": self.zone})

    def migrate(self) -> None:
        """Addresses and a TTL, weights, names that come and go, an alias."""
        self.put(
            self.plain("www", 30, "192.0.2.20"),
            self.weighted("blue", 10),
            self.weighted("green", 90),
            self.alias("new", "www"),
        )
        self.remove("old")

    def migrate_again(self) -> None:
        """More of it."""
        self.put(self.plain("www", 30, "192.0.2.30"), self.plain("next", 60, "192.0.2.31"))

    def application_write(self) -> None:
        """Other names."""
        self.put(self.plain("shop", 60, "192.0.2.40"))

    def drift(self) -> None:
        """Somebody else changes an address that the migration has changed."""
        self.put(self.plain("www", 30, "192.0.2.99"))

    def drifted(self) -> bool:
        """It is there."""
        return "192.0.2.99" in str(self.records())

    def state(self) -> object:
        """All record sets. The zone's name stands for itself, for harnesses differ in it alone."""
        records = str(sorted(self.records(), key=str))
        return records.replace(self.apex, "zone.").replace(self.zone, "Z").replace(f"-{self.apex[:-1]}", "")

    def records(self) -> list[dict[str, Any]]:
        """All record sets but the apex's own."""
        found = self._route53.list_resource_record_sets(HostedZoneId=self.zone)["ResourceRecordSets"]
        return [record for record in found if record["Type"] not in {"NS", "SOA"}]

    def put(self, *records: dict[str, Any]) -> None:
        """Makes record sets, or changes them."""
        self._change("UPSERT", *records)

    def remove(self, name: str) -> None:
        """Removes a record set, if it is there."""
        self._change("DELETE", *(record for record in self.records() if record["Name"] == f"{name}.{self.apex}"))

    def plain(self, name: str, ttl: int, *values: str) -> dict[str, Any]:
        """Addresses."""
        records = [{"Value": value} for value in values]
        return {"Name": f"{name}.{self.apex}", "Type": "A", "TTL": ttl, "ResourceRecords": records}

    def weighted(self, color: str, weight: int) -> dict[str, Any]:
        """An address that is chosen by weight."""
        identifier = f"{color} of-{self.apex[:-1]}"
        return self.plain("api", 60, f"192.0.2.{weight}") | {"SetIdentifier": identifier, "Weight": weight}

    def alias(self, name: str, of: str) -> dict[str, Any]:
        """Another name's addresses."""
        target = {"HostedZoneId": self.zone, "DNSName": f"{of}.{self.apex}", "EvaluateTargetHealth": False}
        return {"Name": f"{name}.{self.apex}", "Type": "A", "AliasTarget": target}

    def _change(self, action: str, *records: dict[str, Any]) -> None:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record} for record in records]}
        if records:
            self._route53.change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch=batch)


class TestRoute53Emulated(ResourceSuite):
    """The contract, kept by kind ``route53``."""

    stride = 3

    @pytest.fixture
    def make_harness(self, s3: S3) -> Callable[[], Harness]:
        """Makes zones."""
        return lambda: Route53Harness(s3)

    def test_a_rollback_is_undone(self, scenario: Scenario, migrated: object, written: object) -> None:
        """Once: moto remembers record sets that are deleted, and does not create the same again."""
        _, plan = scenario.migrated()
        scenario.execute(plan)
        assert scenario.harness.state() == written
        undoing = scenario.undo(plan)
        scenario.execute(undoing)
        assert scenario.harness.state() == migrated
        assert scenario.verify(undoing).execution.status == "verified"
