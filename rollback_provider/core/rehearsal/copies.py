"""What a rehearsal asks of a component: copies of a snapshot, on which the migration, a writer and faults are let loose."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from rollback_provider.core.component import BlobReader, Blobs, Component, Connection, Progress
from rollback_provider.core.model import ComponentState
from rollback_provider.core.rehearsal.model import Migration, Size, Write


@dataclass(frozen=True)
class Place:
    """Where copies are made, and how large.

    :param connection: of a server for them, which names the database that is made and dropped; None for a server of their own on this
        machine
    :param rows: of each table, where the copy is sampled
    :param share: of each table's rows, in the place of `rows`
    """

    connection: Connection | None = None
    size: Size = "full"
    rows: int = 1000
    share: float | None = None


class Writer(Protocol):
    """An application made up: it writes to a copy, beside the migration and the rollback, from a thread of its own."""

    refused: int
    """Writes that the schema did not allow."""

    @property
    def writes(self) -> Sequence[Write]:
        """All that were acknowledged or whose outcome is not known, in order."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Within this context it does not write."""
        ...

    def aim_at(self, rows: Collection[tuple[str, tuple[str, ...]]]) -> None:
        """From now on every second write is to one of these rows (table and key, as in the snapshot)."""
        ...

    def wait_for(self, count: int) -> int:
        """Returns once this many more have been acknowledged, or none can be made for seconds; says how many were."""
        ...


class Hold(Protocol):
    """Locks that another session holds, in the way of the rollback."""

    def strike(self, how: Literal["kill", "cancel", "cut", "release"], executing: Component | None) -> bool:
        """Strikes a statement of the rollback that waits for these locks; they are free when it returns. False where none came to wait.

        :param how: end its session, end the statement, cut its connection, or only release the locks after a while
        :param executing: the component whose connection is cut
        """
        ...


class Faults(Protocol):
    """What can be done to a copy's system from outside, as it happens to systems in production."""

    def hold(self) -> Hold:
        """Takes the locks."""
        ...

    def leave_half_applied(self) -> bool:
        """Leaves behind what an interrupted, non-transactional statement of a migration leaves; false where there is no place for it."""
        ...

    def fill_disk(self) -> AbstractContextManager[bool]:
        """Within this context the sessions that are open find no more space; gives false where that cannot be had here."""
        ...


class Copy(Protocol):
    """A system of its own, made from a snapshot, for one trial."""

    @property
    def connection(self) -> Connection:
        """Leads to it, whatever connection the component's specification names."""
        ...

    @property
    def faults(self) -> Faults:
        """What can be done to it from outside."""
        ...

    def migrate(self, migration: Migration, store: Any, snapshot_id: str, progress: Progress) -> None:
        """Runs the user's migration on it. One that is not quiet seals its checkpoint in `store`. Raises StepFailedError."""
        ...

    def writer(self, seed: int) -> AbstractContextManager[Writer]:
        """A writer that writes within this context."""
        ...

    def changed_rows(self, checkpoint: ComponentState, blobs: BlobReader) -> list[tuple[str, tuple[str, ...]]]:
        """Some rows that the migration has changed: table and key, as in the snapshot."""
        ...

    def read(
        self, rows: Collection[tuple[str, tuple[str, ...]]]
    ) -> dict[tuple[str, tuple[str, ...]], dict[str, str | None]]:
        """Those of these rows that are there, as text by column, both named as in the snapshot."""
        ...


class Copies(Protocol):
    """Copies of one system, all alike."""

    rows: int
    lacks: tuple[str, ...]
    """What the original has and the copies have not, each a sentence."""
    server: str
    """Kind and version of the server that they are on."""

    def fresh(self) -> AbstractContextManager[Copy]:
        """A new copy; it is gone when the context ends, whatever happened."""
        ...


@runtime_checkable
class Rehearsable(Protocol):
    """A component whose migrations can be rehearsed on a copy."""

    def copies(
        self, snapshot: ComponentState, place: Place, blobs: Blobs, progress: Progress
    ) -> AbstractContextManager[Copies]:
        """Copies made from a snapshot in the store alone: the original is not reached. All are gone when the context ends.

        :param blobs: hold the snapshot; what is written to them is thrown away after the rehearsal

        Raises ConfigurationError where the place holds something already, PermissionDeniedError, ComponentUnavailableError.
        """
        ...
