"""The criteria there are. Each function takes the evidence and, as keywords, its options; their types are checked when a DAG is parsed.

To add one, write its function and name it in :data:`KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import PositiveInt

from rollback_provider.clients.migration_source import digest_of_migration
from rollback_provider.core.checking import run_checks
from rollback_provider.core.component import Contended
from rollback_provider.core.decision import speaks_for
from rollback_provider.core.errors import CertificateError, ConfigurationError, NotFoundError
from rollback_provider.core.lookup import find_snapshot, used_by
from rollback_provider.core.model import utcnow
from rollback_provider.core.registry import build
from rollback_provider.core.rehearsal.certificate import Demand, valid_certificate
from rollback_provider.core.rehearsal.model import Migration
from rollback_provider.core.repository import Repository
from rollback_provider.core.verification import Check, CheckStatus, Verification
from rollback_provider.probes import Condition, Verdict, measure_now
from rollback_provider.probes.watching import statement

if TYPE_CHECKING:
    from rollback_provider.criteria.criterion import Evidence

_HEADROOM = 2
"""The way back may write about what the snapshot holds once more: the state before it, and what its steps replace."""


def snapshot(evidence: Evidence, *, max_age: timedelta = timedelta(hours=1)) -> Iterable[Check]:
    """The snapshot is young, and all content that it names is in the store.

    :param max_age: how old it may be
    """
    age = utcnow() - evidence.snapshot.created
    yield _check("snapshot is fresh", age <= max_age, f"at most {_whole(max_age)} old", f"{_whole(age)} old")
    needed = {digest for state in evidence.snapshot.components for digest in state.blobs}
    missing = needed - {blob.digest for blob in evidence.store.blobs()}
    found = f"{len(needed) - len(missing)} pieces of content"
    yield _check("snapshot is whole", not missing, f"{len(needed)} pieces of content", found)


def certificate(
    evidence: Evidence, *, source: Migration | None = None, drills: list[str] | None = None, key: str | None = None
) -> Iterable[Check]:
    """A rehearsal has certified this migration, on this database and on its schema as it is in the snapshot.

    :param source: the migration's own text, as it was rehearsed: a certificate of another one will not do
    :param drills: names of drills that must have passed
    :param key: id of a connection that holds the key with which it must be signed; the public half will do
    """
    wanted = Demand(
        evidence.snapshot.migration,
        digest_of_migration(source) if source else "",
        evidence.snapshot.components,
        tuple(drills or ()),
        evidence.connections(key) if key else None,
    )
    try:
        found = valid_certificate(evidence.store, wanted)
        met, actual = True, f"{found.id}, valid until {found.expires:%Y-%m-%d %H:%M} UTC"
    except (CertificateError, NotFoundError) as error:
        met, actual = False, error.what
    yield _check("certificate", met, "a valid one", actual)


def checks(evidence: Evidence) -> Iterable[Check]:
    """The declared checks that have to hold after a rollback hold now: it leads back here, and would be blamed for what fails."""
    found = run_checks(evidence.snapshot.checks, "rollback", evidence.connections)
    if not found:
        raise ConfigurationError(
            "The snapshot holds no check that has to hold after a rollback",
            next_step="Declare checks where the snapshot is taken, or leave the criterion out",
        )
    return found


def conditions(evidence: Evidence, *, conditions: list[Condition]) -> Iterable[Check]:
    """Numbers measured now are within their limits: the same declarations as a trigger's. One that is unknown is not met.

    :param conditions: ``[{"name": …, "probe": …, "above": …}]``
    """
    for each in conditions:
        found = measure_now(each.probe, evidence.connections)
        verdict = each.judge(found)
        status = {Verdict.FINE: CheckStatus.PASSED, Verdict.BREACH: CheckStatus.FAILED}.get(
            verdict, CheckStatus.UNKNOWN
        )
        actual = "unknown" if found.value is None else f"{found.value:g}"
        yield Check(
            component="",
            name=each.name,
            scope=statement(each.probe),
            status=status,
            expected=each.limits,
            actual=actual,
            detail=found.unknown,
        )


def quiet(evidence: Evidence, *, longest: timedelta = timedelta(seconds=5)) -> Iterable[Check]:
    """Nobody holds locks that the migration would wait for, and no transaction is long.

    :param longest: how long a transaction on the migrated tables may be open
    """
    asked = [check for state in evidence.snapshot.components for check in _quiet(evidence, state.spec, longest)]
    if not asked:
        raise ConfigurationError(
            "No component of the snapshot can tell whether it is quiet", next_step="Leave the criterion out"
        )
    return asked


def space(evidence: Evidence, *, at_least: PositiveInt | None = None) -> Iterable[Check]:
    """The store has room for the way back.

    :param at_least: bytes; twice what the snapshot takes where not given
    """
    mine = {digest for state in evidence.snapshot.components for digest in state.blobs}
    taken = sum(blob.stored_size for blob in evidence.store.blobs() if blob.digest in mine)
    demanded = at_least or _HEADROOM * taken
    free = evidence.store.free()
    if free is None:
        yield Check(
            component="",
            name="free space of the store",
            status=CheckStatus.WARNING,
            expected=f"{demanded:,} bytes",
            detail="This kind of store has no limit that can be asked for",
        )
        return
    yield _check("free space of the store", free >= demanded, f"at least {demanded:,} bytes", f"{free:,} bytes")


def person(evidence: Evidence, *, users: list[dict[str, str]] | None = None) -> Iterable[Check]:  # noqa: ARG001  asked for elsewhere
    """A person says go, under *Required Actions*. Asked for when all other criteria are met; those are then looked at once more.

    :param users: who may, ``[{"id": "1", "name": "ada"}]``; everybody who may answer in Airflow where not given
    """
    return ()


def verified(evidence: Evidence, *, migration: str | None = None) -> Iterable[Check]:
    """The declared checks of a migration have found it good, when they were last run after it, and it has not been taken back since.

    :param migration: one that this one builds upon, whose newest snapshot counts; this one itself where not given
    """
    repository = Repository(evidence.store)
    chosen = find_snapshot(repository, None, migration) if migration else evidence.snapshot
    result = next(reversed(repository.verifications(chosen.id)), None)
    found = result.verification if result else Verification(summary="its checks were never run")
    taken_back = used_by(repository, chosen)
    yield Check(
        component="",
        name=f"migration {chosen.migration} is verified",
        scope=chosen.id,
        status=CheckStatus.FAILED if taken_back else found.status,
        expected="its checks passed, and it was not rolled back",
        actual=f"rolled back by {taken_back}" if taken_back else found.summary,
        detail=f"{_whole(utcnow() - result.created)} ago" if result else "",
        differences=tuple(
            " ".join(filter(None, (check.component, check.name, check.detail)))
            for check in found.checks
            if not speaks_for(check)
        ),
    )


KINDS: dict[str, Callable[..., Iterable[Check]]] = {
    "certificate": certificate,
    "checks": checks,
    "conditions": conditions,
    "person": person,
    "quiet": quiet,
    "snapshot": snapshot,
    "space": space,
    "verified": verified,
}


def _quiet(evidence: Evidence, spec: Any, longest: timedelta) -> Iterator[Check]:
    component = build(spec, evidence.connections)
    if not isinstance(component, Contended):
        return
    evidence.watch(component)
    try:
        found = component.contention(longest.total_seconds())
    finally:
        component.close()
    yield Check(
        component=spec.name,
        name="quiet",
        status=CheckStatus.FAILED if found else CheckStatus.PASSED,
        expected=f"no transaction longer than {_whole(longest)}, and no lock to wait for",
        actual=f"{len(found)} sessions in the way" if found else "nobody is in the way",
        differences=tuple(found[:100]),
    )


def _check(name: str, met: bool, expected: str, actual: str) -> Check:  # noqa: FBT001  what is checked is the argument
    return Check(
        component="",
        name=name,
        status=CheckStatus.PASSED if met else CheckStatus.FAILED,
        expected=expected,
        actual=actual,
    )


def _whole(length: timedelta) -> str:
    return str(timedelta(seconds=round(length.total_seconds())))
