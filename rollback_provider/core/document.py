"""The output document: what a rollback was, did, and has proven. One for each rollback, rewritten as it goes on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from rollback_provider.core.base import Json, Model
from rollback_provider.core.cause import Cause
from rollback_provider.core.model import Attribution, Ledger, Policy
from rollback_provider.core.verification import Verification


class StepRecord(Model):
    """What became of one step, for the output document."""

    id: str
    component: str
    title: str
    status: Literal["pending", "running", "done", "failed"]
    started: datetime | None = None
    finished: datetime | None = None
    attempts: int = 0
    changed: bool | None = None
    detail: str = ""
    error: str = ""
    locks: str = ""
    lock_seconds: dict[str, float] = Field(default_factory=dict)
    estimate: float | None = None


class Scripts(Model):
    """The plan as scripts a person can read and run."""

    database: str = ""
    application: str = ""
    infrastructure: str = ""


class SnapshotSummary(Model):
    """The snapshot, as the output document tells of it."""

    id: str
    created: datetime
    components: tuple[Json, ...]


class Execution(Model):
    """How far the rollback truly got.

    :param status: ``ready`` (planned), ``executed`` (every step done), ``verified`` (and measured to be back); a failure leaves it
        where it was and stands in ``error``
    :param duration: of the execution, over all attempts, as ISO 8601
    """

    status: Literal["ready", "executed", "verified"]
    duration: timedelta = timedelta()
    verification: Verification = Verification()
    steps: tuple[StepRecord, ...] = ()
    started: datetime | None = None
    finished: datetime | None = None
    attempts: int = 0
    ledger: Ledger = Ledger()
    error: str = ""


class Rehearsed(Model):
    """What a rehearsal had said of this rollback: seconds for planning and execution together.

    :param rows: of the database when it was rehearsed
    :param low: and `high`: how far the measurements left it open; None where there was only one
    :param took: what it took, over all attempts; None as long as it is not executed
    """

    certificate_id: str
    rows: int
    expected: float
    low: float | None = None
    high: float | None = None
    took: float | None = None


class Record(Model):
    """The output document: the whole story of one rollback. ``output_document.schema.json`` is its contract.

    :param through: ids of later snapshots, whose migrations are taken back with the first
    :param undoes: id of the rollback that this one undoes
    :param undone_by: id of the rollback that has undone this one
    :param cause: why it was begun, where that was said
    :param rehearsed: how long it was expected to take, by the newest certificate of its migration
    :param migration_verification: the declared checks as they stood after the migration, when they were last run
    """

    rollback_id: str
    timestamp: datetime
    migration: str
    actor: str
    checkpoint_id: str | None
    attribution: Attribution
    policy: Policy
    snapshot: SnapshotSummary
    scripts: Scripts
    notes: tuple[str, ...]
    ledger: Ledger
    abandoned: bool = False
    through: tuple[str, ...] = ()
    undoes: str | None = None
    undone_by: str | None = None
    cause: Cause | None = None
    migration_verification: Verification | None = None
    rehearsed: Rehearsed | None = None
    execution: Execution
