"""Certificates: what a rehearsal has proven, of which migration, of which schema, until when; sealed, and signed where there is a key."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rollback_provider import __version__
from rollback_provider.core.base import Json
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import CertificateError, ConfigurationError, NotFoundError
from rollback_provider.core.model import ComponentState, utcnow
from rollback_provider.core.rehearsal.figures import phases
from rollback_provider.core.rehearsal.model import Estimate, Kept, Rehearsal, Size
from rollback_provider.core.rehearsal.records import load_named, load_under
from rollback_provider.core.rehearsal.signature import Signature, problem, sign, unsigned
from rollback_provider.core.repository import Store, digest_of, make_id, slug

PREFIX = "certificates/"


class Certificate(Kept):
    """What a rehearsal has proven.

    :param identity: of the original
    :param migration_digest: of the migration's text
    :param plan_digest: of the rollback's steps
    :param schema_fingerprint: of the schema that the migration was rehearsed on
    :param versions: of this package (``engine``) and of the copy's server
    :param drills: those that passed
    :param estimate: how long the rollback of all rows takes, where that was measured
    :param uncovered: what the rehearsal says nothing about
    :param seconds: median and 95th percentile of each phase, undisturbed
    """

    rehearsal_id: str
    migration: str
    component: str
    identity: str
    expires: datetime
    actor: str
    migration_digest: str
    plan_digest: str
    schema_fingerprint: str
    versions: dict[str, str]
    size: Size
    rows: int
    drills: tuple[str, ...]
    seconds: dict[str, tuple[float, float]]
    estimate: Estimate | None = None
    uncovered: tuple[str, ...] = ()
    signature: Signature


@dataclass(frozen=True)
class Demand:
    """What a certificate must say.

    :param migration_digest: of the migration that is to run; empty where that is not known
    :param states: the snapshot's components, whose schema must be the one that was rehearsed; empty where there is no snapshot
    :param drills: that must have passed
    :param key: with which it must be signed; None where a digest will do
    """

    migration: str
    migration_digest: str = ""
    states: tuple[ComponentState, ...] = ()
    drills: Collection[str] = ()
    key: Connection | None = field(default=None, repr=False)


def issue(
    store: Store, rehearsal: Rehearsal, valid_for: timedelta, *, actor: str, key: Connection | None = None
) -> Certificate:
    """Certifies a rehearsal, and keeps the certificate in the store.

    :param key: a connection that holds the private key to sign it with

    Raises CertificateError where the rehearsal has not proven anything, ConfigurationError for a connection that holds no key.
    """
    if not rehearsal.proven:
        raise CertificateError(
            f"Rehearsal {rehearsal.id} has not gone well, so there is nothing to certify",
            next_step="Read its report, correct the migration, then rehearse again",
        )
    if valid_for <= timedelta():
        raise ConfigurationError("A certificate must be valid for some time")
    created = utcnow()
    draft = Certificate(
        id="",
        rehearsal_id=rehearsal.id,
        snapshot_id=rehearsal.snapshot_id,
        migration=rehearsal.migration,
        component=rehearsal.component,
        identity=rehearsal.identity,
        created=created,
        expires=created + valid_for,
        actor=actor,
        migration_digest=rehearsal.migration_digest,
        plan_digest=rehearsal.plan_digest,
        schema_fingerprint=rehearsal.schema_fingerprint,
        versions=rehearsal.versions,
        size=rehearsal.size,
        rows=rehearsal.rows,
        drills=rehearsal.drills,
        seconds={name: tuple(spread) for name, spread in phases(rehearsal).items()},
        estimate=rehearsal.estimate,
        uncovered=rehearsal.uncovered,
        signature=unsigned(key),
    )
    value = sign(_digest(draft), key)
    signed = draft.model_copy(update={"signature": draft.signature.model_copy(update={"value": value})})
    certificate = signed.model_copy(
        update={"id": make_id(f"certificate-{signed.migration}", created, signed.to_json())}
    )
    store.create(f"{PREFIX}{certificate.snapshot_id}/{certificate.id}", certificate.to_json())
    return certificate


def load_certificate(store: Store, certificate_id: str) -> Certificate:
    """Raises NotFoundError, IntegrityError."""
    return load_under(store, PREFIX, certificate_id, Certificate, "certificate")


def certificates(store: Store, migration: str) -> list[Certificate]:
    """All of a migration, the newest first."""
    beginning = f"{slug(f'certificate-{migration}')}-"
    names = [name for name in store.names(PREFIX) if name.rpartition("/")[2].startswith(beginning)]
    found = [load_named(store, name, Certificate, "certificate") for name in names]
    return sorted((each for each in found if each.migration == migration), key=lambda each: each.created, reverse=True)


def valid_certificate(store: Store, demand: Demand) -> Certificate:
    """The newest certificate that says all that is demanded.

    Raises NotFoundError where there is none of the migration, and the newest one's CertificateError where none will do.
    """
    newest: CertificateError | None = None
    for certificate in certificates(store, demand.migration):
        try:
            check(certificate, demand)
        except CertificateError as error:
            newest = newest or error
        else:
            return certificate
    if newest:
        raise newest
    raise NotFoundError(
        f"There is no certificate of migration {demand.migration!r} in {store.url}",
        next_step="Rehearse it: rollbackctl rehearse",
    )


def check(certificate: Certificate, demand: Demand) -> None:
    """Raises CertificateError, with the first thing that is wrong."""
    for wrong in _problems(certificate, demand):
        raise CertificateError(
            f"Certificate {certificate.id} {wrong}",
            component=certificate.component,
            state="The migration was not started",
            next_step="Rehearse this migration on a new snapshot",
        )


def _problems(certificate: Certificate, demand: Demand) -> Iterable[str]:
    if wrong := problem(certificate.signature, _digest(certificate), demand.key):
        yield wrong
    if certificate.migration != demand.migration:
        yield f"is of migration {certificate.migration!r}, not of {demand.migration!r}"
    if demand.migration_digest and certificate.migration_digest != demand.migration_digest:
        yield "is of another text of this migration: it was changed since it was rehearsed"
    if certificate.expires <= utcnow():
        yield f"expired {certificate.expires:%Y-%m-%d %H:%M} UTC"
    if (engine := certificate.versions.get("engine")) != __version__:
        yield f"was issued for version {engine} of this package, and this is {__version__}"
    if demand.states:
        yield from _foreign(certificate, {state.spec.name: state for state in demand.states})
    if missing := [name for name in demand.drills if name not in certificate.drills]:
        yield f"does not say that these drills passed: {', '.join(missing)}"


def _foreign(certificate: Certificate, states: dict[str, ComponentState]) -> Iterable[str]:
    state = states.get(certificate.component)
    if state is None or state.identity != certificate.identity:
        yield "is of another database"
    elif state.payload.get("fingerprint", "") != certificate.schema_fingerprint:
        yield "is of another schema: the database has changed since the migration was rehearsed"


def _digest(certificate: Certificate) -> str:
    document: Json = certificate.to_json()
    del document["id"]
    document["signature"] = document["signature"] | {"value": ""}
    return digest_of(document)
