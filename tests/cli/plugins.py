"""Component kinds that fail, or are interrupted, while a step is applied."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import ClassVar

from rollback_provider.components.memory import MemoryComponent
from rollback_provider.core.component import BlobReader, Blobs, Notes, Progress
from rollback_provider.core.errors import BusyError, UnsupportedError
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import ComponentPlan, ComponentState, Policy, Step, StepOutcome


class FailingComponent(MemoryComponent):
    """Fails with the error that is set."""

    kind: ClassVar[str] = "failing"
    error: ClassVar[Exception | None] = None

    def apply(self, step: Step, blobs: Blobs, notes: Notes, progress: Progress) -> StepOutcome:
        """Fails."""
        if self.error:
            raise self.error
        return super().apply(step, blobs, notes, progress)


class IrreversibleComponent(MemoryComponent):
    """Cannot come back, nor be exported."""

    kind: ClassVar[str] = "irreversible"
    export = None  # type: ignore[assignment]

    def plan(
        self,
        snapshot: ComponentState,
        checkpoint: ComponentState | None,
        policy: Policy,
        blobs: Blobs,
        ledger: LedgerWriter,
        progress: Progress,
    ) -> ComponentPlan:
        """Refuses."""
        raise UnsupportedError("Table public.t was truncated", component=self.spec.name)


class SqlComponent(MemoryComponent):
    """Exports a script for psql."""

    kind: ClassVar[str] = "sql"

    def export(self, plan: ComponentPlan, blobs: BlobReader) -> Iterator[tuple[str, bytes]]:
        """One script."""
        yield f"{plan.component}/rollback.sql", f"-- {plan.component}".encode()


class SignallingComponent(MemoryComponent):
    """Its process is told to stop while its first step is applied."""

    kind: ClassVar[str] = "signalling"
    signals: ClassVar[list[signal.Signals]] = []

    def apply(self, step: Step, blobs: Blobs, notes: Notes, progress: Progress) -> StepOutcome:
        """Is interrupted, as often as there are signals left."""
        while self.signals:
            signal.raise_signal(self.signals.pop(0))
        return super().apply(step, blobs, notes, progress)


class DeafComponent(SignallingComponent):
    """Cannot be cancelled: a step that has begun goes on to its end."""

    kind: ClassVar[str] = "deaf"

    def cancel(self) -> None:
        """Fails."""
        raise BusyError("The server does not answer")
