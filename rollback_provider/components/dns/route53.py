"""Kind ``route53``: the record sets of a hosted zone of Amazon Route 53."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from rollback_provider.clients.aws import Aws, command_line
from rollback_provider.components.dns.caching import cache_notes
from rollback_provider.core.component import BlobReader, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.errors import ConfigurationError, StepFailedError
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.words import plural
from rollback_provider.resources import (
    Batch,
    Change,
    Digests,
    Fields,
    MovedError,
    Options,
    ResourceComponent,
    State,
    parse_options,
    require_connection,
)

_LOOK = 1.0
"""Seconds between two questions whether all name servers have a change."""
_IN_SYNC = 300.0
"""Seconds after which a step no longer waits for that: it usually takes one minute, and the change is accepted."""
_ALIAS_TTL = 60
"""Seconds that caches keep the answer for an alias; the target may say otherwise."""
_RECORDS, _CHARACTERS = 1_000, 32_000
"""Values and their characters that Route 53 takes in one batch."""
_REFUSED = "InvalidChangeBatch"
"""Route 53 says this of a batch that does not fit what is there, and of values that it never takes; it applies none of it."""


class Route53Options(Options):
    """Options of kind ``route53``.

    :param zone_id: id of the hosted zone: ``Z148QEXAMPLE8V``
    """

    zone_id: str = Field(pattern=r"^[A-Z0-9]{1,32}$")


class Route53Component(ResourceComponent):
    """All record sets but the apex's NS and SOA. Addresses: ``www.shop.example. A``, and with a set identifier ``… A blue``."""

    kind: ClassVar[str] = "route53"
    section: ClassVar[Literal["infrastructure"]] = "infrastructure"
    noun: ClassVar[str] = "record sets"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._zone = parse_options(spec, Route53Options).zone_id
        self._connection = require_connection(spec)

    def identity(self) -> str:
        """Names the zone, whose id is one of a kind."""
        return f"route53:{self._zone}"

    def read(self, blobs: BlobWriter) -> State:
        """Lists the zone. What a traffic policy writes is the policy's."""
        aws = self._aws()
        found = aws.call("get_hosted_zone", Id=self._zone, accept={"NoSuchHostedZone"})
        if "Error" in found:
            raise ConfigurationError(
                f"There is no hosted zone {self._zone}",
                component=self.spec.name,
                next_step="Correct the option `zone_id`",
            )
        apex = found["HostedZone"]["Name"]
        return {
            address_of(record): fields_of(record)
            for record in aws.items("list_resource_record_sets", "ResourceRecordSets", HostedZoneId=self._zone)
            if not (record["Name"] == apex and record["Type"] in {"NS", "SOA"})
            and "TrafficPolicyInstanceId" not in record
        }

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Sends one batch, which is applied as a whole if each record set is still what it was, and waits for the name servers."""
        aws, batch = self._aws(), {"Changes": change_batch(changes)}
        answer = aws.call("change_resource_record_sets", HostedZoneId=self._zone, ChangeBatch=batch, accept={_REFUSED})
        if "Error" in answer:
            now = self.read(Digests())
            for change in changes:
                if now.get(change.address) != change.now:
                    raise MovedError(f"{change.address} has been changed")
            raise StepFailedError(
                f"Route 53 does not take the batch: {answer['Error'].get('Message', _REFUSED)}",
                component=self.spec.name,
                state="Nothing of the batch was written",
            )
        sent = answer["ChangeInfo"]
        deadline = time.monotonic() + _IN_SYNC
        while sent["Status"] != "INSYNC":
            if time.monotonic() > deadline:
                progress.message(f"{self.spec.name}: not all name servers of Route 53 have change {sent['Id']} yet")
                break
            progress.update("wait for the name servers of Route 53", done=0, total=1, unit="changes")
            self.pause(_LOOK)
            sent = aws.call("get_change", Id=sent["Id"])["ChangeInfo"]
        progress.update(f"write {self.spec.name}", done=len(changes), total=len(changes), unit=self.noun)

    def command(self, change: Change) -> str:
        """A batch for the command line of AWS."""
        batch = {"Changes": change_batch([change])}
        return command_line(
            "route53", "change_resource_record_sets", {"HostedZoneId": self._zone, "ChangeBatch": batch}
        )

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """One batch for all, as long as Route 53 takes it."""
        for part in _parts(changes):
            yield Batch(f"Restore {plural(len(part), 'record set')} of {self._zone}", part)

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """How long caches keep what the migration has published."""
        return cache_notes(changes, lambda fields: fields.get("TTL", _ALIAS_TTL))

    def _aws(self) -> Aws:
        return Aws(self.spec.name, self.connections(self._connection), "route53")


def address_of(record: dict[str, Any]) -> str:
    """Name, type and, where there are several of them, identifier."""
    identifier = [record["SetIdentifier"]] if "SetIdentifier" in record else []
    return " ".join([record["Name"], record["Type"], *identifier])


def fields_of(record: dict[str, Any]) -> Fields:
    """What a record set holds, by Route 53's names: values or alias, TTL, weight and whatever else chooses it."""
    fields = {key: value for key, value in record.items() if key not in {"Name", "Type", "SetIdentifier"}}
    if "ResourceRecords" in fields:
        fields["ResourceRecords"] = sorted(each["Value"] for each in fields["ResourceRecords"])
    return fields


def change_batch(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """Takes out exactly what was there, and then puts in what is to be: an alias allows nothing beside it."""
    gone = [("DELETE", change.address, change.now) for change in changes if change.now is not None]
    come = [("CREATE", change.address, change.target) for change in changes if change.target is not None]
    return [
        {"Action": action, "ResourceRecordSet": _record(address, fields)} for action, address, fields in gone + come
    ]


def _record(address: str, fields: Fields) -> dict[str, Any]:
    name, kind, *identifier = address.split(" ", 2)
    record = {"Name": name, "Type": kind, **({"SetIdentifier": identifier[0]} if identifier else {}), **fields}
    if "ResourceRecords" in fields:
        record["ResourceRecords"] = [{"Value": value} for value in fields["ResourceRecords"]]
    return record


def _parts(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Changes that one batch takes. Record sets of one name, which may exclude each other, follow each other and seldom part."""
    part: list[Change] = []
    records = characters = 0
    for change in changes:
        values = [value for each in (change.now, change.target) if each for value in each.get("ResourceRecords", [""])]
        size = sum(map(len, values))
        if part and (records + len(values) > _RECORDS or characters + size > _CHARACTERS):
            yield part
            part, records, characters = [], 0, 0
        part.append(change)
        records, characters = records + len(values), characters + size
    if part:
        yield part
