"""Kind ``dns``: a zone on a server that takes transfers (AXFR) and dynamic updates (RFC 2136) with a TSIG key."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, ClassVar, Literal

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update
import dns.xfr
import dns.zone
from pydantic import Field

from rollback_provider.components.dns.caching import cache_notes
from rollback_provider.core.component import BlobReader, BlobWriter, Connection, ConnectionResolver, Progress
from rollback_provider.core.errors import (
    ComponentUnavailableError,
    ConfigurationError,
    PermissionDeniedError,
    StepFailedError,
)
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.words import plural
from rollback_provider.resources import (
    Batch,
    Change,
    MovedError,
    Options,
    ResourceComponent,
    State,
    parse_options,
    require_connection,
)

_TIMEOUT = 10.0
"""Seconds for an answer; a transfer may take as long for each of its messages."""
_BY_ITSELF = {"SOA", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDS", "CDNSKEY", "TYPE65534"}
"""Types that the server writes itself: the serial only rises, and signatures are made anew."""
_APEX = "@ NS"
_ROOM = 48_000
"""Bytes of one update: a message holds 64 KiB."""
_MOVED = {dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN}
"""Answers to an update whose prerequisites do not hold (RFC 2136, section 3.2)."""


class DnsOptions(Options):
    """Options of kind ``dns``.

    :param zone: name of the zone: ``shop.example``
    """

    zone: str = Field(min_length=1)


class DnsComponent(ResourceComponent):
    """All record sets of a zone but those that the server writes itself. Addresses: ``www A``, ``@ MX``."""

    kind: ClassVar[str] = "dns"
    section: ClassVar[Literal["infrastructure"]] = "infrastructure"
    noun: ClassVar[str] = "record sets"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        zone = parse_options(spec, DnsOptions).zone
        try:
            self._zone = dns.name.from_text(zone)
        except dns.exception.DNSException as error:
            raise ConfigurationError(
                f"{zone!r} is no name of a zone: {error}", component=spec.name, next_step="Correct its options"
            ) from error
        self._connection_id = require_connection(spec)

    def identity(self) -> str:
        """Names server and zone."""
        connection = self._connection()
        return f"dns:{connection.host}:{connection.port or 53}:{self._zone}"

    def read(self, blobs: BlobWriter) -> State:
        """Transfers the zone."""
        connection = self._connection()
        zone = dns.zone.Zone(self._zone, relativize=False)
        with self._errors():
            dns.query.inbound_xfr(
                connection.host or "127.0.0.1",
                zone,
                dns.xfr.make_query(zone, keyring=self._key(connection))[0],
                port=connection.port or 53,
                timeout=_TIMEOUT,
            )
        return {
            f"{name.relativize(self._zone)} {kind}": {
                "ttl": records.ttl,
                "records": sorted(record.to_text() for record in records),
            }
            for name, records in zone.iterate_rdatasets()
            if (kind := dns.rdatatype.to_text(records.rdtype)) not in _BY_ITSELF
        }

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Sends one update, which the server applies as a whole, if each record set is still what it was."""
        connection = self._connection()
        update = self._update(changes, self._key(connection))
        with self._errors():
            answer = dns.query.tcp(update, connection.host or "127.0.0.1", port=connection.port or 53, timeout=_TIMEOUT)
        if answer.rcode() in _MOVED:
            raise MovedError("a record set has been changed")
        self._refuse(answer.rcode(), "update")
        progress.update(f"write {self.spec.name}", done=len(changes), total=len(changes), unit=self.noun)

    def command(self, change: Change) -> str:
        """Commands for nsupdate."""
        name, kind = change.address.split(" ")
        owner = dns.name.from_text(name, self._zone)
        lines = [f"prereq nxrrset {owner} {kind}"] if change.now is None else []
        if change.now is not None:
            lines += [f"prereq yxrrset {owner} {kind} {record}" for record in change.now["records"]]
        if change.now is not None and change.address != _APEX:
            lines.append(f"update delete {owner} {kind}")
        if change.target is not None:
            ttl = change.target["ttl"]
            lines += [f"update add {owner} {ttl} {kind} {record}" for record in change.target["records"]]
        return "\n".join([*lines, *(f"update delete {owner} {kind} {record}" for record in _outdated(change))])

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """One update for all, as far as a message has room. What belongs to a name stays together, and what goes is first."""
        part: list[Change] = []
        for _, group in groupby(sorted(changes, key=_by_name), key=lambda change: change.address.partition(" ")[0]):
            together = [*group]
            if part and sum(map(self._size, (*part, *together))) > _ROOM:
                yield self._batch(part)
                part = []
            part += together
        if part:
            yield self._batch(part)

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """How long caches keep what the migration has published."""
        return cache_notes(changes)

    def _update(self, changes: Sequence[Change], key: dns.tsig.Key) -> dns.update.UpdateMessage:
        update = dns.update.UpdateMessage(self._zone, keyring=key)
        for change in changes:
            name, kind = change.address.split(" ")
            if change.now is None:
                update.absent(name, kind)
            else:
                update.present(name, kind, *change.now["records"])
        for change in changes:
            name, kind = change.address.split(" ")
            if change.now is not None and change.address != _APEX:
                update.delete(name, kind)
            if change.target is not None:
                self._add(update, change)
            if gone := _outdated(change):
                update.delete(name, kind, *gone)
        return update

    def _add(self, update: dns.update.UpdateMessage, change: Change) -> None:
        name, kind = change.address.split(" ")
        fields = change.target or {}
        try:
            update.add(name, fields["ttl"], kind, *fields["records"])
        except dns.exception.DNSException as error:
            raise StepFailedError(f"{change.address} cannot be written: {error}", component=self.spec.name) from error

    def _batch(self, changes: Sequence[Change]) -> Batch:
        return Batch(f"Restore {plural(len(changes), 'record set')} of {self._zone}", changes)

    def _size(self, change: Change) -> int:
        """Bytes that a change takes in an update, at most."""
        records = [record for fields in (change.now, change.target) if fields for record in fields["records"]]
        return sum(map(len, records)) + (len(records) + 2) * (len(f"{change.address}.{self._zone}") + 16)

    def _connection(self) -> Connection:
        return self.connections(self._connection_id)

    def _key(self, connection: Connection) -> dns.tsig.Key:
        if not (connection.login and connection.password):
            raise ConfigurationError(
                f"Connection {connection.id!r} holds no TSIG key",
                component=self.spec.name,
                next_step="Set its login to the key's name and its password to the key's secret in base64",
            )
        algorithm = connection.extra.get("algorithm", "hmac-sha256")
        if dns.name.from_text(algorithm) not in dns.tsig.mac_sizes:
            raise ConfigurationError(
                f"The extra of connection {connection.id!r} names no TSIG algorithm: {algorithm!r}",
                component=self.spec.name,
                next_step="Use hmac-sha256, or another one that the server knows",
            )
        try:
            return dns.tsig.Key(connection.login, b64decode(connection.password, validate=True), algorithm)
        except ValueError:
            raise ConfigurationError(
                f"The TSIG key of connection {connection.id!r} is malformed (its value is not shown)",
                component=self.spec.name,
                next_step="Set the connection's password to the key's secret in base64",
            ) from None

    def _refuse(self, code: Any, what: str) -> None:
        if code == dns.rcode.NOERROR:
            return
        text = f"The server answers a {what} of zone {self._zone} with {dns.rcode.to_text(code)}"
        if code in {dns.rcode.REFUSED, dns.rcode.NOTAUTH}:
            raise PermissionDeniedError(
                text, component=self.spec.name, next_step=f"Allow transfer and update of {self._zone} for this key"
            )
        if code == dns.rcode.SERVFAIL:
            raise ComponentUnavailableError(text, component=self.spec.name)
        raise StepFailedError(text, component=self.spec.name)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except dns.xfr.TransferError as error:
            self._refuse(error.rcode, "transfer")
        except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadTime) as error:
            raise PermissionDeniedError(
                f"The server does not accept the TSIG key ({type(error).__name__})",
                component=self.spec.name,
                next_step="Check name, secret and algorithm of the key, and both clocks",
            ) from error
        except (OSError, EOFError, dns.exception.Timeout) as error:
            raise ComponentUnavailableError(
                f"The name server gives no answer ({type(error).__name__})", component=self.spec.name
            ) from error
        except dns.exception.DNSException as error:
            raise StepFailedError(
                f"The name server's answer is not understood ({type(error).__name__})", component=self.spec.name
            ) from error


def _by_name(change: Change) -> tuple[str, bool, str]:
    """An alias allows nothing beside it, so it goes before anything comes, and the other way round."""
    name, _, kind = change.address.partition(" ")
    return name, change.target is not None, kind


def _outdated(change: Change) -> list[str]:
    """Records to delete one by one, after others have come: a server ignores what would leave a zone without a name server."""
    if change.address != _APEX or change.now is None:
        return []
    return sorted({*change.now["records"]} - {*(change.target or {"records": ()})["records"]})
