"""Records of rollbacks as the reports get them, built by hand: no system is behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rollback_provider.core.cause import Cause, Reading, Signal
from rollback_provider.core.document import Execution, Record, Scripts, SnapshotSummary, StepRecord
from rollback_provider.core.model import (
    Action,
    Attribution,
    ComponentPlan,
    Ledger,
    LedgerCount,
    LedgerEntry,
    Plan,
    Policy,
    Step,
)
from rollback_provider.core.verification import Check, CheckStatus, Verification

BEGAN = datetime(2026, 11, 23, 15, 11, 1, tzinfo=UTC)
RecordMaker = Callable[..., Record]


def at(seconds: float) -> datetime:
    """A time this many seconds after the execution began."""
    return BEGAN + timedelta(seconds=seconds)


STEPS = (
    StepRecord(
        id="orders-001",
        component="orders",
        title="Rename column note back to remark on public.orders",
        status="done",
        started=at(0),
        finished=at(0.4),
        attempts=1,
        changed=True,
        locks="public.orders",
        lock_seconds={"public.orders": 0.001},
        estimate=0.5,
    ),
    StepRecord(
        id="orders-002",
        component="orders",
        title="Merge 2,000 rows of public.orders",
        status="done",
        started=at(0.4),
        finished=at(3.1),
        attempts=2,
        changed=True,
        detail="1,997 rows restored, 3 conflicts kept",
        estimate=4.0,
    ),
)
LEDGER = Ledger(
    counts=(
        LedgerCount(component="orders", scope="public.orders", action=Action.CONFLICT_KEPT, count=3),
        LedgerCount(component="orders", scope="public.vouchers", action=Action.DISCARDED, count=1),
    ),
    examined={"orders/public.orders": 200_000, "orders/public.vouchers": 1},
    sample=(
        LedgerEntry(
            component="orders",
            scope="public.orders",
            action=Action.CONFLICT_KEPT,
            key={"id": "17"},
            before={"status": "paid"},
            migrated={"status": "PAID"},
            now={"status": "shipped"},
        ),
        LedgerEntry(
            component="orders",
            scope="public.vouchers",
            action=Action.DISCARDED,
            key={"code": "SUMMER"},
            now={"code": "SUMMER", "percent": None},
            reason="the table is not in the snapshot",
        ),
    ),
)
CHECKS = (
    Check(component="orders", name="schema", status=CheckStatus.PASSED, expected="3f9ac2b1", actual="3f9ac2b1"),
    Check(
        component="orders",
        name="column order",
        scope="public.orders",
        status=CheckStatus.WARNING,
        detail="a column that came back stands last",
        differences=("remark: was 4th, is 7th",),
    ),
)


@dataclass(frozen=True)
class Value:
    """A measurement, seconds before the rollback began."""

    before: float
    value: float | None
    unknown: str = ""

    @property
    def reading(self) -> Reading:
        """As the record keeps it."""
        return Reading(time=at(-self.before), value=self.value, unknown=self.unknown)


def signal(name: str, *values: Value, streak: int = 0) -> Signal:
    """A watched condition."""
    return Signal(
        name=name,
        limits="at most 5",
        statement=f"sum(rate({name}_total[1m]))",
        bad=bool(streak),
        streak=streak,
        readings=tuple(each.reading for each in values),
    )


CAUSE = Cause(
    what="errors was 9 at the end of 2 measurements in a row",
    source="watch",
    time=at(-20),
    signals=(
        signal("errors", Value(60, 1), Value(45, 8), Value(30, 9), streak=2),
        signal("health", Value(30, None, "no <answer>"), streak=1),
        signal("orders", Value(30, 3)),
    ),
    impact=(Signal(name="requests failed", readings=(Value(20, 1234).reading,)),),
)


@pytest.fixture
def make_record() -> RecordMaker:
    """Makes the record of a verified rollback; a test says which fields of it, and of its execution, are different."""

    def make(*, execution: dict[str, Any] | None = None, **changes: Any) -> Record:
        run: dict[str, Any] = {
            "status": "verified",
            "duration": timedelta(seconds=3.1),
            "verification": Verification(status=CheckStatus.WARNING, finished=at(4.6), checks=CHECKS),
            "steps": STEPS,
            "started": BEGAN,
            "finished": at(3.1),
            "attempts": 2,
        }
        fields: dict[str, Any] = {
            "rollback_id": "rollback-orders-2026-11-20261123T151050Z-3f9ac2b1e0d4",
            "timestamp": at(-11),
            "migration": "orders-2026-11",
            "actor": "mira",
            "checkpoint_id": "checkpoint-20261123T150900Z-0a1b2c3d4e5f",
            "attribution": Attribution.QUIET,
            "policy": Policy(),
            "snapshot": SnapshotSummary(
                id="orders-2026-11-20261123T145000Z-9c8b7a6d5e4f",
                created=at(-1261),
                components=({"name": "orders", "kind": "postgres", "summary": {"tables": 5, "bytes": 34_100_000}},),
            ),
            "scripts": Scripts(database="-- orders-001\nalter table public.orders rename column note to remark;"),
            "notes": ("orders: public.orders.remark comes back as the last column",),
            "ledger": LEDGER,
        }
        return Record(**(fields | changes), execution=Execution(**(run | (execution or {}))))

    return make


@pytest.fixture
def plan() -> Plan:
    """A plan that nobody has executed."""
    return Plan(
        rollback_id="rollback-orders-2026-11-20261123T151050Z-3f9ac2b1e0d4",
        snapshot_id="orders-2026-11-20261123T145000Z-9c8b7a6d5e4f",
        checkpoint_id=None,
        migration="orders-2026-11",
        created=at(-11),
        actor="mira",
        attribution=Attribution.UNKNOWN,
        policy=Policy(),
        components=(
            ComponentPlan(
                component="orders",
                fingerprint="f00d",
                steps=tuple(
                    Step(
                        id=step.id,
                        component=step.component,
                        title=step.title,
                        section="database",
                        script=f"select {number};",
                        payload={},
                        locks=step.locks,
                        estimate=step.estimate,
                    )
                    for number, step in enumerate(STEPS, 1)
                ),
                notes=("public.orders.remark comes back as the last column",),
            ),
        ),
        order=(("orders",),),
        ledger=LEDGER,
    )
