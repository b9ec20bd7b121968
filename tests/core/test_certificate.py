"""Certificates: what they say, who may have issued them, and what is refused."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rollback_provider import __version__
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import CertificateError, ConfigurationError, IntegrityError, NotFoundError
from rollback_provider.core.model import ComponentSpec, ComponentState, Snapshot, utcnow
from rollback_provider.core.rehearsal.certificate import (
    PREFIX,
    Certificate,
    Demand,
    check,
    issue,
    load_certificate,
    valid_certificate,
)
from rollback_provider.core.rehearsal.figures import Spread, phases, spread
from rollback_provider.core.rehearsal.model import Rehearsal, Trial
from rollback_provider.core.repository import Repository, Store, make_id
from rollback_provider.core.verification import CheckStatus
from rollback_provider.store import SnapshotStore, prune


def key(**halves: str) -> Connection:
    """A connection that holds a new key, or these halves of one."""
    private = Ed25519PrivateKey.generate()
    made = {
        "login": b64encode(private.public_key().public_bytes_raw()).decode(),
        "password": b64encode(private.private_bytes_raw()).decode(),
    }
    return Connection(id="rehearsal_key", type="generic", **(halves or made))  # type: ignore[arg-type]


KEY, OTHER = key(), key()
MONTH = timedelta(days=30)


def rehearsal(*drills: str, **fields: Any) -> Rehearsal:
    """A rehearsal that went well, and these drills."""
    plain = [Trial(status=CheckStatus.PASSED, seconds={"execute": seconds}) for seconds in (1.0, 3.0, 2.0)]
    given: dict[str, Any] = {
        "id": "rehearsal-orders-1",
        "snapshot_id": "orders-1",
        "migration": "orders",
        "component": "db",
        "created": utcnow(),
        "finished": utcnow(),
        "actor": "test",
        "identity": "postgres:1/2",
        "migration_digest": "m" * 64,
        "plan_digest": "p" * 64,
        "schema_fingerprint": "f" * 64,
        "versions": {"engine": __version__, "copy": "PostgreSQL 18.1"},
        "size": "full",
        "rows": 5,
        "seed": 1,
        "uncovered": ("edge (haproxy) was not rehearsed",),
        "trials": (*plain, *(Trial(drill=name, status=CheckStatus.PASSED) for name in drills)),
    }
    return Rehearsal(**given | fields)


def state(**fields: Any) -> ComponentState:
    """The component of a snapshot, as the rehearsed one was."""
    given: dict[str, Any] = {
        "spec": ComponentSpec(kind="postgres", name="db"),
        "identity": "postgres:1/2",
        "captured": utcnow(),
        "payload": {"fingerprint": "f" * 64},
    }
    return ComponentState(**given | fields)


def test_figures_are_of_what_was_measured() -> None:
    assert phases(rehearsal())["execute"] == Spread(2.0, 3.0)
    assert spread([]) == Spread(0.0, 0.0)


@pytest.mark.parametrize("signing", [None, KEY])
def test_a_valid_certificate(memory_store: Store, signing: Connection | None) -> None:
    """Who demands a signature needs the public half alone."""
    certificate = issue(memory_store, rehearsal("lock_held"), MONTH, actor="ada", key=signing)
    assert load_certificate(memory_store, certificate.id) == certificate
    assert certificate.seconds == {"execute": (2.0, 3.0)}
    assert certificate.uncovered == ("edge (haproxy) was not rehearsed",)
    assert certificate.signature.algorithm == ("ed25519" if signing else "sha256")
    public = key(login=KEY.login or "") if signing else None
    demand = Demand("orders", "m" * 64, (state(),), ("lock_held",), public)
    assert valid_certificate(memory_store, demand) == certificate
    assert (KEY.password or "") not in str(certificate.to_json())


@pytest.mark.parametrize(
    ("demand", "message"),
    [
        (Demand("customers", key=KEY), "is of migration 'orders', not of 'customers'"),
        (Demand("orders", "n" * 64, key=KEY), "is of another text of this migration"),
        (Demand("orders", states=(state(identity="postgres:1/3"),), key=KEY), "is of another database"),
        (Demand("orders", states=(state(payload={"fingerprint": "g"}),), key=KEY), "is of another schema"),
        (Demand("orders", drills=("lock_held", "disk_full"), key=KEY), "these drills passed: disk_full"),
        (Demand("orders", key=OTHER), "was signed with another key than that of connection 'rehearsal_key'"),
    ],
)
def test_a_foreign_certificate(memory_store: Store, demand: Demand, message: str) -> None:
    certificate = issue(memory_store, rehearsal("lock_held"), MONTH, actor="ada", key=KEY)
    with pytest.raises(CertificateError, match=f"{message}.* The migration was not started. Rehearse"):
        check(certificate, demand)


def test_an_expired_certificate(memory_store: Store) -> None:
    certificate = issue(memory_store, rehearsal(), MONTH, actor="ada")
    old = _signed_again(certificate, expires=utcnow() - timedelta(seconds=1))
    with pytest.raises(CertificateError, match=r"expired \d{4}-"):
        check(old, Demand("orders"))


def test_a_certificate_of_another_engine(memory_store: Store) -> None:
    other = rehearsal(versions={"engine": "0.0.1", "copy": "PostgreSQL 18.1"})
    certificate = issue(memory_store, other, MONTH, actor="ada")
    with pytest.raises(CertificateError, match=r"for version 0\.0\.1 of this package, and this is"):
        check(certificate, Demand("orders"))


def _signed_again(certificate: Certificate, **changes: Any) -> Certificate:
    from rollback_provider.core.rehearsal import certificate as certificates

    changed = certificate.model_copy(update=changes)
    value = certificates._digest(changed)
    return changed.model_copy(update={"signature": changed.signature.model_copy(update={"value": value})})


@pytest.mark.parametrize("signing", [None, KEY])
def test_a_certificate_that_was_changed(memory_store: Store, signing: Connection | None) -> None:
    certificate = issue(memory_store, rehearsal(), MONTH, actor="ada", key=signing)
    changed = certificate.model_copy(update={"drills": ("disk_full",)})
    with pytest.raises(CertificateError, match="somebody has changed it"):
        check(changed, Demand("orders", key=signing))
    if signing:
        with pytest.raises(CertificateError, match="somebody has changed it"):
            check(changed, Demand("orders"))
        with pytest.raises(CertificateError, match="is not signed, and must be"):
            check(
                _signed_again(changed, signature=certificate.signature.model_copy(update={"algorithm": "sha256"})),
                Demand("orders", key=signing),
            )
    memory_store.create(f"{PREFIX}orders-1/{certificate.id}-x", changed.to_json())
    with pytest.raises(IntegrityError, match="is not the one that was sealed"):
        load_certificate(memory_store, f"{certificate.id}-x")


def test_none_and_none_to_issue(memory_store: Store) -> None:
    with pytest.raises(NotFoundError, match="There is no certificate of migration 'orders'"):
        valid_certificate(memory_store, Demand("orders"))
    failed = (Trial(status=CheckStatus.FAILED),)
    with pytest.raises(CertificateError, match="has not gone well"):
        issue(memory_store, rehearsal(trials=failed), MONTH, actor="ada")
    with pytest.raises(CertificateError, match="has not gone well"):
        issue(memory_store, rehearsal(trials=(Trial(status=CheckStatus.UNKNOWN),)), MONTH, actor="ada")


@pytest.mark.parametrize(
    ("halves", "message"),
    [
        ({"password": "c2hvcnQ="}, "its password is not 32 bytes in base64"),
        ({"password": "no base64 at all"}, "its password is not 32 bytes in base64"),
        ({"login": KEY.login}, "its password is not 32 bytes in base64"),
        ({"login": OTHER.login, "password": KEY.password}, "holds two halves of different keys"),
    ],
)
def test_a_connection_without_a_key(memory_store: Store, halves: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        issue(memory_store, rehearsal(), MONTH, actor="ada", key=key(**halves))
    assert str(halves.get("password")) not in str(caught.value)
    certificate = issue(memory_store, rehearsal(), MONTH, actor="ada")
    with pytest.raises(ConfigurationError, match="holds no key: its login is not 32 bytes"):
        check(certificate, Demand("orders", key=key(login="who am I")))


def test_an_older_certificate_may_do_where_the_newest_will_not(memory_store: Store) -> None:
    good = issue(memory_store, rehearsal("lock_held"), MONTH, actor="ada")
    issue(memory_store, rehearsal(), MONTH, actor="ada")
    assert valid_certificate(memory_store, Demand("orders", drills=("lock_held",))) == good


def test_retention_keeps_what_a_valid_certificate_needs(memory_store: SnapshotStore) -> None:
    repository = Repository(memory_store)
    kept = []
    for number in range(3):
        draft = Snapshot(
            id="",
            migration="orders",
            created=utcnow() - timedelta(days=9 - number),
            actor="t",
            components=(state(),),
        )

        snapshot = draft.model_copy(update={"id": make_id("orders", draft.created, draft.to_json())})
        repository.save_snapshot(snapshot)
        kept.append(snapshot.id)
    issue(memory_store, rehearsal(snapshot_id=kept[0]), MONTH, actor="ada")
    report = prune(memory_store, keep_last=1, grace=timedelta())
    assert report.snapshots == (kept[1],)
    reasons = {each.id: each.reasons for each in report.kept}
    assert "is valid until" in reasons[kept[0]][0]
    assert list(memory_store.names(PREFIX))
