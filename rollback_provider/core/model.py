"""The records: what is stored, passed on and shown. All are immutable and serialise to JSON.

JSON names are camelCase (``rollbackId``); Python names are snake_case. Times are aware and in UTC; durations are ISO 8601.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal

from pydantic import Field

from rollback_provider.core.base import Json, Model
from rollback_provider.core.cause import Cause
from rollback_provider.core.verification import SealedCheck


def utcnow() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


class BlobRef(Model):
    """A piece of content in the store, addressed by what it is.

    :param digest: sha256 of the content, hexadecimal
    :param size: bytes of the content
    :param stored_size: bytes it takes in the store
    """

    digest: str
    size: int
    stored_size: int


class ComponentSpec(Model):
    """A component as a user declares it (one entry of ``spec.yaml``, or of an operator's ``components``).

    :param kind: which plug-in: ``postgres``, ``memory``, …
    :param name: the user's name for it, unique within a snapshot
    :param connection: id of the Airflow connection that holds address and credentials
    :param after: names of components that the migration changes before this one; a rollback goes the other way round
    :param options: what else the kind takes; see its page
    """

    kind: str = Field(min_length=1)
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
    connection: str | None = None
    after: tuple[str, ...] = ()
    options: Json = Field(default_factory=dict)


class ComponentState(Model):
    """One component's part of a snapshot or checkpoint.

    :param payload: what the component needs to come back; large things are blobs it refers to
    :param summary: counts a person wants to see: ``{"tables": 5, "rows": 1200000}``
    :param identity: names the system itself (not the way to it), for locks: two names for one database share it
    :param blobs: digests of all blobs this state needs; the one who seals it adds those that were written for it
    """

    spec: ComponentSpec
    identity: str
    captured: datetime
    payload: Json
    summary: dict[str, int] = Field(default_factory=dict)
    blobs: tuple[str, ...] = ()


class Snapshot(Model):
    """The sealed record of all components' state before a migration, or before a rollback: then `undoes` names that rollback.

    :param checks: what the user has declared must hold after the migration, and after its rollback
    """

    id: str
    migration: str
    created: datetime
    actor: str
    components: tuple[ComponentState, ...]
    undoes: str | None = None
    checks: tuple[SealedCheck, ...] = ()


class SoftDrop(Model):
    """Something that a migration would have dropped and has renamed instead: it is there until the migration is accepted.

    :param kind: what it is: ``table``, ``column``
    :param address: its names now, from the outermost in
    :param name: its own name before
    :param snapshot_id: the snapshot that was taken before the migration; None where the migration did not say
    :param size: bytes it takes, as far as the system can tell
    """

    component: str
    kind: str
    address: tuple[str, ...]
    name: str
    time: datetime
    snapshot_id: str | None = None
    size: int | None = None

    @property
    def scope(self) -> str:
        """What it was called, for people."""
        return ".".join((*self.address[:-1], self.name))


class Acceptance(Model):
    """The decision that a migration stays.

    :param dropped: what it had soft-dropped and what was then to be dropped for good
    """

    snapshot_id: str
    created: datetime
    actor: str
    dropped: tuple[SoftDrop, ...] = ()


class Attribution(StrEnum):
    """How a checkpoint knows which writes are the migration's, and so what it can promise."""

    TRANSACTION = "transaction"
    """Taken inside the migration's own transaction: exact, whatever applications wrote meanwhile."""
    QUIET = "quiet"
    """The caller vouches that nobody but the migration wrote between snapshot and checkpoint."""
    JOURNAL = "journal"
    """Made from the journal of a rollback that is to be undone, which holds each value it replaced: exact."""
    TRIGGERS = "triggers"
    """Triggers logged what sessions with the migration's mark wrote, and these writes are known exactly. Where the log cannot tell, such
    as after a conversion of all values, the checkpoint names the table, and what has changed in it is ambiguous."""
    TRACKING = "tracking"
    """The migration is being tracked by triggers, and the log has not been read: nothing can be told yet, and no rollback planned."""
    UNKNOWN = "unknown"
    """No checkpoint, or one that cannot tell: every change since the snapshot may be the migration's or an application's."""


class Checkpoint(Model):
    """The sealed record of what a migration changed, taken after it."""

    id: str
    snapshot_id: str
    created: datetime
    actor: str
    attribution: Attribution
    components: tuple[ComponentState, ...]


class Policy(Model):
    """What to do where the rollback meets a write that is not the migration's.

    :param conflicts: a value that both the migration and, later, an application changed: ``keep`` the application's (default),
        ``restore`` the snapshot's where the ledger listed it, or ``fail`` before anything is changed
    :param ambiguous: changes since the snapshot that no checkpoint attributes: ``restore`` the snapshot's state (default; the ledger
        lists each by key), ``keep`` them all, or ``fail``
    :param fill: ``{"schema.table.column": "SQL expression"}`` for rows written since, which have no value for a restored column
    :param only: components, or what they hold (``schema.table``); the rest stays as it is. Empty: everything
    :param part: ``schema`` leaves what the migration did to rows as it is, ``data`` what it did to the schema
    :param rows: ``{"schema.table": "SQL predicate"}`` over the snapshot's columns: of this table only the data of these rows
    :param leave_behind: components that were migrated after a chosen one, and so may rely on it, may stay as they are
    :param downgrade: components whose own migration tool goes down first
    """

    conflicts: Literal["keep", "restore", "fail"] = "keep"
    ambiguous: Literal["restore", "keep", "fail"] = "restore"
    fill: dict[str, str] = Field(default_factory=dict)
    only: tuple[str, ...] = ()
    part: Literal["all", "schema", "data"] = "all"
    rows: dict[str, str] = Field(default_factory=dict)
    leave_behind: bool = False
    downgrade: tuple[str, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether only a part is rolled back."""
        return bool(self.only or self.rows) or self.part != "all"


class Action(StrEnum):
    """What becomes of a row or value that somebody other than the migration may care for."""

    CONFLICT_KEPT = "conflict_kept"
    """Changed by the migration and then by an application: the application's value stays."""
    CONFLICT_RESTORED = "conflict_restored"
    """Changed by the migration and then by an application: the snapshot's value comes back."""
    MERGED = "merged"
    """A row both changed in different columns: the application's columns stay, the migration's go back."""
    DISCARDED = "discarded"
    """Has no place in the snapshot's schema (a row of a new table, a value of a new column): kept in the ledger's data only."""
    AMBIGUOUS = "ambiguous"
    """Changed since the snapshot by one cannot tell whom, and taken back."""
    KEPT = "kept"
    """Stays although it differs from the snapshot: written by an application alone, listed where the count is not enough."""


class LedgerEntry(Model):
    """One row or value that the rollback discards, merges or finds in conflict.

    :param scope: what holds it, as the component names it: ``public.orders``
    :param key: the row's key as text, column by column
    :param before: the snapshot's values of the columns concerned; ``None`` where there was no row
    :param migrated: the values the migration left
    :param now: the values found when the ledger was written
    """

    component: str
    scope: str
    action: Action
    key: dict[str, str | None]
    before: dict[str, str | None] | None = None
    migrated: dict[str, str | None] | None = None
    now: dict[str, str | None] | None = None
    reason: str = ""


class LedgerCount(Model):
    """How many entries of one action a scope has."""

    component: str
    scope: str
    action: Action
    count: int


class Ledger(Model):
    """Every row and value a plan discards, merges or finds in conflict: counts and a sample here, all entries in blobs.

    A ledger without counts is the proof that there are none: ``examined`` says what was looked at.

    :param examined: rows compared, by ``component/scope``
    :param blobs: JSON lines of :class:`LedgerEntry`, in order
    :param sample: the first entries of each scope and action
    """

    counts: tuple[LedgerCount, ...] = ()
    examined: dict[str, int] = Field(default_factory=dict)
    sample: tuple[LedgerEntry, ...] = ()
    blobs: tuple[BlobRef, ...] = ()

    def total(self, *actions: Action) -> int:
        """Number of entries with one of these actions; with none given, of all."""
        return sum(c.count for c in self.counts if not actions or c.action in actions)


class Step(Model):
    """One typed step of a plan. Its script is what a person would run by hand; its payload is what the component runs.

    :param id: unique within the plan, and the order in which steps of one component run
    :param section: which of the record's scripts it belongs to
    :param script: readable and complete, free of secrets
    :param locks: what is locked against applications meanwhile, in words; empty where nothing is
    :param estimate: seconds it is expected to take, where known
    """

    id: str
    component: str
    title: str
    section: Literal["database", "application", "infrastructure"]
    script: str
    payload: Json
    locks: str = ""
    estimate: float | None = None


class ComponentPlan(Model):
    """What one component would do to get back.

    :param fingerprint: of everything the plan relies on; execute refuses when it has changed
    :param notes: accepted differences and side effects, each a sentence a person reads before approving
    :param payload: what verification needs to know of the plan
    """

    component: str
    fingerprint: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    payload: Json = Field(default_factory=dict)
    blobs: tuple[str, ...] = ()


class Plan(Model):
    """Ordered steps from the state now back to the snapshot, sealed under its digest.

    :param through: ids of later snapshots, whose migrations are taken back with the first
    :param order: components in the order in which they are rolled back; those of one inner tuple depend on none of each other
    :param duration: how long it took to make
    :param cause: why it was made, where that was said
    """

    rollback_id: str
    snapshot_id: str
    checkpoint_id: str | None
    migration: str
    created: datetime
    actor: str
    attribution: Attribution
    policy: Policy
    components: tuple[ComponentPlan, ...]
    order: tuple[tuple[str, ...], ...]
    ledger: Ledger
    duration: timedelta = timedelta()
    through: tuple[str, ...] = ()
    cause: Cause | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, component by component in rollback order."""
        by_name = {c.component: c for c in self.components}
        return tuple(step for wave in self.order for name in wave for step in by_name[name].steps)


class StepOutcome(Model):
    """What a component reports of a step it has applied.

    :param changed: whether the system is different for it; false where the work was found done
    :param detail: one line for the timeline: ``2,000 rows restored``
    :param lock_seconds: longest time one lock was held against applications, by what it locked
    :param ledger: rows found in conflict or merged while executing, beyond those the plan listed
    """

    changed: bool
    detail: str = ""
    lock_seconds: dict[str, float] = Field(default_factory=dict)
    ledger: Ledger = Ledger()
