"""Kind ``powerdns``: a zone of PowerDNS's authoritative server, by its HTTP API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from shlex import quote
from typing import Any, ClassVar, Literal
from urllib.parse import quote as quote_url

import httpx
from pydantic import Field

from rollback_provider.clients.http import Api, base_url
from rollback_provider.components.dns.caching import cache_notes
from rollback_provider.core.component import BlobReader, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.errors import ConfigurationError, StepFailedError, UnsupportedError
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

_WRITTEN_HERE = {"Native", "Master", "Primary", "Producer"}
"""Kinds of zones that are written by the API; others are fetched from elsewhere."""


class PowerdnsOptions(Options):
    """Options of kind ``powerdns``.

    :param zone: name of the zone: ``shop.example``
    :param server: as the API calls the server
    """

    zone: str = Field(pattern=r"^[^.\s]+(\.[^.\s]+)*\.?$")
    server: str = Field(default="localhost", min_length=1)


class PowerdnsComponent(ResourceComponent):
    """All record sets of a zone but its start of authority. Addresses: ``www A``, ``@ MX``."""

    kind: ClassVar[str] = "powerdns"
    section: ClassVar[Literal["infrastructure"]] = "infrastructure"
    noun: ClassVar[str] = "record sets"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        options = parse_options(spec, PowerdnsOptions)
        self._zone = f"{options.zone.rstrip('.').lower()}."
        zone = self._zone.replace("/", "=2F")  # as the API spells the zones of RFC 2317
        self._path = f"/api/v1/servers/{quote_url(options.server, safe='')}/zones/{quote_url(zone)}"
        self._connection = require_connection(spec)
        self._opened: Api | None = None

    def identity(self) -> str:
        """Names server and zone."""
        return f"powerdns:{base_url(self.connections(self._connection))}{self._path}"

    def read(self, blobs: BlobWriter) -> State:
        """Asks for the zone."""
        answer = self._api().get(self._path, accept=(httpx.codes.NOT_FOUND,))
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise ConfigurationError(
                f"PowerDNS has no zone {self._zone} at {self._path}",
                component=self.spec.name,
                next_step="Correct the options `zone` and `server`",
            )
        try:
            zone = answer.json()
            kind, state = zone["kind"], {self._address(each): _fields(each) for each in zone["rrsets"]}
        except (ValueError, KeyError, TypeError):
            raise StepFailedError(
                f"The answer for {self._path} is no zone of PowerDNS",
                component=self.spec.name,
                state="Nothing was changed by this",
                next_step="Check that the connection leads to the API of an authoritative server",
            ) from None
        if kind not in _WRITTEN_HERE:
            raise UnsupportedError(
                f"Zone {self._zone} is {kind} and comes from another server",
                component=self.spec.name,
                next_step="Name the server where it is written",
            )
        state.pop("@ SOA", None)  # its serial only rises
        return state

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Sends one call, which the server applies as a whole. It cannot compare and swap, so the zone is looked at right before."""
        now = self.read(Digests())
        for change in changes:
            if now.get(change.address) != change.now:
                raise MovedError(f"{change.address} has been changed")
        self._api().send("PATCH", self._path, json=self._body(changes))
        progress.update(f"write {self.spec.name}", done=len(changes), total=len(changes), unit=self.noun)

    def command(self, change: Change) -> str:
        """A call of curl, with the key in a variable."""
        url = quote(f"{base_url(self.connections(self._connection))}{self._path}")
        body = quote(json.dumps(self._body([change]), sort_keys=True))
        return f'curl --fail-with-body -X PATCH -H "X-API-Key: $POWERDNS_API_KEY" {url} --json {body}'

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """One call for all. What goes is first: an alias allows nothing beside it."""
        if changes:
            ordered = sorted(changes, key=lambda change: (change.target is not None, change.address))
            yield Batch(f"Restore {plural(len(changes), 'record set')} of {self._zone}", ordered)

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """How long caches keep what the migration has published."""
        return cache_notes(changes)

    def close(self) -> None:
        """Closes the client."""
        super().close()
        if self._opened:
            self._opened.close()
            self._opened = None

    def _address(self, record_set: dict[str, Any]) -> str:
        name = record_set["name"].removesuffix(self._zone).removesuffix(".") or "@"
        return f"{name} {record_set['type']}"

    def _body(self, changes: Iterable[Change]) -> dict[str, Any]:
        return {"rrsets": [self._record_set(change) for change in changes]}

    def _record_set(self, change: Change) -> dict[str, Any]:
        name, _, kind = change.address.rpartition(" ")
        owner = {"name": self._zone if name == "@" else f"{name}.{self._zone}", "type": kind}
        if change.target is None:
            return {**owner, "changetype": "DELETE"}
        return {**owner, "changetype": "REPLACE", **change.target}

    def _api(self) -> Api:
        if self._opened is None:
            connection = self.connections(self._connection)
            if not connection.password:
                raise ConfigurationError(
                    f"Connection {connection.id!r} holds no API key",
                    component=self.spec.name,
                    next_step="Set its password to the server's api-key",
                )
            self._opened = Api(self.spec.name, connection, headers={"X-API-Key": connection.password})
        return self._opened


def _fields(record_set: dict[str, Any]) -> Fields:
    """Without the time at which a comment was made."""
    return {
        "ttl": record_set["ttl"],
        "records": sorted(
            ({"content": each["content"], "disabled": each["disabled"]} for each in record_set["records"]),
            key=lambda record: (record["content"], record["disabled"]),
        ),
        "comments": sorted(
            ({"account": each["account"], "content": each["content"]} for each in record_set["comments"]),
            key=lambda comment: (comment["account"], comment["content"]),
        ),
    }
