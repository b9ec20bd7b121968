"""What a rehearsal had said of a rollback, beside what it then took."""

from __future__ import annotations

from contextlib import suppress

from rollback_provider.core.document import Execution, Rehearsed
from rollback_provider.core.errors import IntegrityError
from rollback_provider.core.model import Plan, Snapshot
from rollback_provider.core.rehearsal.certificate import Certificate, certificates
from rollback_provider.core.repository import Store


def rehearsed(store: Store, plan: Plan, snapshot: Snapshot, execution: Execution) -> Rehearsed | None:
    """The estimate of the newest certificate that was there when the rollback was planned; None where there is none.

    Rehearsed is a whole component, one migration, and no undo: of other rollbacks nothing is said.
    """
    if len(plan.components) != 1 or plan.policy.partial or plan.through or snapshot.undoes:
        return None
    certificate = _certificate(store, plan, snapshot)
    if certificate is None or certificate.estimate is None:
        return None
    expected = certificate.estimate.rollback
    took = (plan.duration + execution.duration).total_seconds() if execution.finished else None
    return Rehearsed(
        certificate_id=certificate.id,
        rows=certificate.estimate.rows,
        expected=expected.p50,
        low=expected.low,
        high=expected.high,
        took=took,
    )


def _certificate(store: Store, plan: Plan, snapshot: Snapshot) -> Certificate | None:
    name = plan.components[0].component
    identities = {state.spec.name: state.identity for state in snapshot.components}
    with suppress(IntegrityError):  # a damaged certificate must not hide how a rollback ended
        for each in certificates(store, plan.migration):
            if each.created <= plan.created and (each.component, each.identity) == (name, identities.get(name)):
                return each
    return None
