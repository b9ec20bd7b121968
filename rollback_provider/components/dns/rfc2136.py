"""Kind ``dns``: a zone on a server that takes transfers (AXFR) and dynamic updates (RFC 2136) with a TSIG key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
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

from rollback_provider.core.component import BlobReader, BlobWriter, Connection, ConnectionResolver, Progress
from rollback_provider.core.errors import (
    ComponentUnavailableError,
    ConfigurationError,
    PermissionDeniedError,
    StepFailedError,
)
from rollback_provider.core.model import ComponentSpec
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
        self._zone = dns.name.from_text(parse_options(spec, DnsOptions).zone)
        self._connection_id = require_connection(spec)

    def identity(self) -> str:
        """Names server and zone."""
        connection = self._connection()
        return f"dns:{connection.host}:{connection.port or 53}:{self._zone}"

    def read(self, blobs: BlobWriter) -> State:
        """Transfers the zone."""
        connection = self._connection()
        zone = dns.zone.Zone(self._zone)
        with self._errors():
            dns.query.inbound_xfr(
                connection.host or "127.0.0.1",
                zone,
                dns.xfr.make_query(zone, keyring=self._key(connection))[0],
                port=connection.port or 53,
                timeout=_TIMEOUT,
            )
        return {
            f"{name} {kind}": {"ttl": records.ttl, "records": sorted(record.to_text() for record in records)}
            for name, records in zone.iterate_rdatasets()
            if (kind := dns.rdatatype.to_text(records.rdtype)) not in _BY_ITSELF
        }

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Sends one update, which the server applies as a whole, if each record set is still what it was."""
        connection = self._connection()
        update = dns.update.UpdateMessage(self._zone, keyring=self._key(connection))
        for change in changes:
            name, kind = change.address.split(" ")
            if change.now is None:
                update.absent(name, kind)
            else:
                update.present(name, kind, *change.now["records"])
                update.delete(name, kind)
        for change in changes:  # what goes first: an alias allows nothing beside it
            if change.target is not None:
                name, kind = change.address.split(" ")
                update.add(name, change.target["ttl"], kind, *change.target["records"])
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
            lines.append(f"update delete {owner} {kind}")
        if change.target is not None:
            ttl = change.target["ttl"]
            lines += [f"update add {owner} {ttl} {kind} {record}" for record in change.target["records"]]
        return "\n".join(lines)

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """One update for all."""
        if changes:
            yield Batch(f"Restore {len(changes)} record sets of {self._zone}", changes)

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """How long caches keep what the migration has published."""
        return tuple(
            f"{change.address}: caches may answer with what is there now for another {change.now['ttl']} seconds"
            for change in changes
            if change.now is not None
        )

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
        try:
            return dns.tsig.Key(connection.login, connection.password, algorithm)
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
