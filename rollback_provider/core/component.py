"""The component protocol: what a plug-in promises, and what it is given.

A component is one system under migration. It is built from its :class:`~rollback_provider.core.model.ComponentSpec` and a way to
resolve connections, and opens clients only when a method is called: building one does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from rollback_provider.core.base import Json
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import (
    BlobRef,
    ComponentPlan,
    ComponentSpec,
    ComponentState,
    Policy,
    SoftDrop,
    Step,
    StepOutcome,
)
from rollback_provider.core.verification import Check


@dataclass(frozen=True)
class Connection:
    """Address and credentials of a system, as Airflow's connections hold them. Its repr shows no secret."""

    id: str
    type: str
    host: str | None = None
    port: int | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    schema: str | None = None
    extra: dict[str, Any] = field(default_factory=dict, repr=False)


ConnectionResolver = Callable[[str], Connection]
"""Finds a connection by id. Raises ConfigurationError where there is none."""


class BlobReader(Protocol):
    """Reads content from the store; every read is checked against its digest."""

    def get_blob(self, digest: str) -> bytes:
        """The content of this address. Raises NotFoundError, IntegrityError, StoreUnavailableError."""
        ...


class BlobWriter(Protocol):
    """Writes content to the store. Writing the same content twice is one blob."""

    def put_blob(self, content: bytes) -> BlobRef:
        """Compresses and stores `content`; raises StoreUnavailableError."""
        ...

    def put_compressed(self, ref: BlobRef, data: bytes) -> None:
        """Stores content that a worker has compressed already (one zstd frame). `ref` is trusted; every later read checks it."""
        ...


class Blobs(BlobReader, BlobWriter, Protocol):
    """The store as components see it."""


class Progress(Protocol):
    """Where long work tells how far it is. Cheap to call often; the receiver decides how often to show it."""

    def update(self, what: str, *, done: float, total: float | None = None, unit: str = "rows") -> None:
        """`done` of `total` units of `what`; `total` is None where it cannot be known."""
        ...

    def message(self, text: str) -> None:
        """One line worth keeping in the log."""
        ...


class Notes(Protocol):
    """A step's own entries in the journal: durable as soon as `add` returns, and there again after a crash."""

    def add(self, data: Json) -> None:
        """Writes a note. Raises LockedError where another worker has taken over this rollback."""
        ...

    def earlier(self) -> Sequence[Json]:
        """What earlier attempts at this step have noted, oldest first."""
        ...

    def of(self, step: str) -> Sequence[Json]:
        """What attempts at another step of this plan, which is done, have noted, oldest first."""
        ...


@runtime_checkable
class Component(Protocol):
    """One system under migration.

    Every method may raise ComponentUnavailableError and PermissionDeniedError, and leaves no client open after `close`.
    """

    kind: ClassVar[str]
    spec: ComponentSpec

    def identity(self) -> str:
        """Names the system itself, for locks: the same for every way of reaching it. Holds no secret. May do I/O."""
        ...

    def capture(self, blobs: Blobs, progress: Progress) -> ComponentState:
        """Everything needed to come back to the state now. Reads only. Raises UnsupportedError by name for what it cannot bring back."""
        ...

    def checkpoint(self, snapshot: ComponentState, blobs: Blobs, progress: Progress) -> ComponentState:
        """What has changed since `snapshot`. Reads only."""
        ...

    def plan(
        self,
        snapshot: ComponentState,
        checkpoint: ComponentState | None,
        policy: Policy,
        blobs: Blobs,
        ledger: LedgerWriter,
        progress: Progress,
    ) -> ComponentPlan:
        """Steps from the state now back to `snapshot`, and in `ledger` all that they discard, merge or find in conflict.

        Changes nothing. Where nothing differs there are no steps. Raises UnsupportedError for what cannot be reverted,
        ConflictError where the policy says fail, MigrationRunningError.
        """
        ...

    def fingerprint(self, snapshot: ComponentState, plan: ComponentPlan, blobs: BlobReader) -> str:
        """Of all that `plan` relies on and that should not change between approval and execution, as it is now.

        Where nothing has changed since the plan was made, it is the plan's.
        """
        ...

    def apply(self, step: Step, blobs: Blobs, notes: Notes, progress: Progress) -> StepOutcome:
        """Does one step.

        After a kill at any point the same call, given the notes of earlier attempts, converges and does nothing twice. Where there
        is no note yet, nothing has been changed yet: the first note precedes the first effect. Raises BusyError where a lock cannot
        be had within its budget, and StepFailedError.
        """
        ...

    def verify(
        self,
        snapshot: ComponentState,
        checkpoint: ComponentState | None,
        plan: ComponentPlan,
        ledger: Iterable[Json],
        notes: Callable[[str], Sequence[Json]],
        blobs: Blobs,
        progress: Progress,
    ) -> list[Check]:
        """Measures whether the system is back, and names what is not. Reads only.

        :param ledger: entries (as JSON) of this component that plan and execution have listed
        :param notes: what the attempts at a step have noted, by the step's id
        """
        ...

    def cancel(self) -> None:
        """Stops a running call as fast as the system allows and releases its locks. Called from another thread or a signal handler."""
        ...

    def close(self) -> None:
        """Closes clients. The component can be used again."""
        ...


@runtime_checkable
class Undoable(Protocol):
    """A component whose rollbacks can be undone: afterwards the state before the rollback is known, and what the rollback has changed."""

    def before_rollback(
        self, snapshot: ComponentState, plan: ComponentPlan, blobs: Blobs, progress: Progress
    ) -> ComponentState:
        """What `undone` needs of the state right before the first step, beyond `snapshot` and the notes of the steps. Reads only.

        Costs about as much as a checkpoint: somebody is waiting for the rollback.
        """
        ...

    def undone(
        self,
        snapshot: ComponentState,
        before: ComponentState,
        plan: ComponentPlan,
        notes: Callable[[str], Sequence[Json]],
        blobs: Blobs,
        progress: Progress,
    ) -> tuple[ComponentState, ComponentState]:
        """The state before a rollback, as a snapshot, and what the rollback has changed, as a checkpoint of it. Reads only.

        Both are exact: what applications wrote while the rollback was executed is part of neither. The rollback may have stopped
        half-way.

        :param snapshot: where the rollback led to
        :param before: what `before_rollback` gave
        :param plan: the rollback's
        :param notes: what the attempts at a step have noted, by the step's id
        """
        ...


@runtime_checkable
class Selective(Protocol):
    """A component that can be rolled back in part: `plan` heeds `only`, `part` and `rows` of the policy, `verify` what was planned."""

    def scopes(self, snapshot: ComponentState, blobs: BlobReader) -> Iterable[str]:
        """What it held in the snapshot and holds now, as a policy may name it."""
        ...


@runtime_checkable
class Composable(Protocol):
    """A component of which several migrations can be taken back at once."""

    def shares(self, other: ComponentSpec) -> bool:
        """Whether a migration of `other`, a component of the same system, can change what this one holds."""
        ...

    def compose(
        self,
        earlier: tuple[ComponentState, ComponentState],
        later: tuple[ComponentState, ComponentState],
        policy: Policy,
        blobs: Blobs,
        ledger: LedgerWriter,
    ) -> tuple[ComponentState, ComponentState]:
        """Snapshot and checkpoint of two migrations together, from those of each. Reads the store alone.

        The snapshot is the later one with the earlier migration undone in it, so that what applications wrote between the two stays; what
        of that meets a change of the earlier migration is decided by the policy and listed. Raises UnsupportedError, by name, where
        the two cannot be told apart, and ConflictError.
        """
        ...


@runtime_checkable
class Exportable(Protocol):
    """A component whose plan can leave the store as files that restore without this package."""

    def export(self, plan: ComponentPlan, blobs: BlobReader) -> Iterable[tuple[str, bytes]]:
        """Relative names and contents of the files, scripts among them."""
        ...


@runtime_checkable
class Incremental(Protocol):
    """A component that can take a snapshot by reading only what has changed since an earlier one."""

    def capture_since(self, earlier: ComponentState, blobs: Blobs, progress: Progress) -> ComponentState:
        """The same as `capture`, as complete, and read alike; what it refers to of the earlier state's blobs stands in its `blobs`.

        :param earlier: a state of the same system and options, out of a sealed snapshot
        """
        ...


@runtime_checkable
class Drainable(Protocol):
    """A component whose servers have sessions, which end by themselves once no new ones come."""

    def sessions(self, server: str) -> int:
        """How many this server has. Reads only. Raises ConfigurationError where there is no such server.

        :param server: its address, as in the plan: ``shop/s1``
        """
        ...


@runtime_checkable
class Contended(Protocol):
    """A component whose users may be in the way of a migration."""

    def contention(self, longest: float) -> list[str]:
        """Who holds what the migration would have to wait for, one sentence each; empty where nobody does. Reads only.

        :param longest: seconds that somebody's transaction may be open
        """
        ...


@runtime_checkable
class Trackable(Component, Protocol):
    """A component that can tell what a migration writes that commits as it goes, while applications write, too.

    :meth:`track`, then the migration, then :meth:`tracked`, whose result is sealed, then :meth:`untrack`. Each may be called again after a
    kill, and goes on.
    """

    def track(
        self, snapshot: ComponentState, mark: str, whole: Sequence[str], blobs: Blobs, progress: Progress
    ) -> ComponentState:
        """Begins to log what sessions write that bear the mark; gives the state that the migration meets.

        :param mark: told to the system by the migration's sessions, in a way that the component documents
        :param whole: parts of which the writes of all sessions are logged

        Raises PermissionDeniedError, ConfigurationError, DriftError, MigrationRunningError, BusyError. Nothing is left then.
        """
        ...

    def tracked(
        self, snapshot: ComponentState, started: ComponentState, mark: str, blobs: Blobs, progress: Progress
    ) -> ComponentState:
        """What the migration changed, as a checkpoint; the log is kept. What the log cannot tell is named, and will be ambiguous.

        :param started: what `track` gave
        """
        ...

    def tracked_mark(self) -> str | None:
        """The mark of the migration that is tracked in the system, or whose log is still there; None for none. Reads only."""
        ...

    def untrack(self, mark: str) -> None:
        """Removes whatever was put into the system; no error where nothing is left."""
        ...


@runtime_checkable
class Downgradable(Protocol):
    """A component whose `plan` heeds `downgrade` of the policy: a migration tool goes down first, and the component completes it."""

    def versions(self) -> tuple[str, ...]:
        """What the tool says is in effect. Reads only. Raises ConfigurationError where no tool is named."""
        ...


@runtime_checkable
class SoftDropping(Protocol):
    """A component in which a migration can soft-drop: rename what it would drop, until it is accepted."""

    def soft_drops(self) -> list[SoftDrop]:
        """All that is soft-dropped in the system, whatever the scope of the component, oldest first. Reads only."""
        ...

    def drop_for_good(self, drop: SoftDrop) -> None:
        """Drops it; no error where it is gone already. Raises BusyError where a lock cannot be had within its budget, LockedError."""
        ...
