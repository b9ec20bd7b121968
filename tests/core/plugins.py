"""Component kinds that go wrong in ways the memory component does not."""

from __future__ import annotations

from typing import ClassVar

from rollback_provider.components.memory import MemoryComponent
from rollback_provider.core.component import Blobs, Progress
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import ComponentPlan, ComponentState, Policy


class MovingComponent(MemoryComponent):
    """Its identity is the host that its connection names, so it notices when that moves."""

    kind: ClassVar[str] = "moving"

    def identity(self) -> str:
        """The host."""
        return f"moving:{self._connections(self.spec.connection or '').host}"


class CarelessComponent(MemoryComponent):
    """Gives all its steps the same id."""

    kind: ClassVar[str] = "careless"

    def plan(
        self,
        snapshot: ComponentState,
        checkpoint: ComponentState | None,
        policy: Policy,
        blobs: Blobs,
        ledger: LedgerWriter,
        progress: Progress,
    ) -> ComponentPlan:
        """Plans carelessly."""
        plan = super().plan(snapshot, checkpoint, policy, blobs, ledger, progress)
        return plan.model_copy(update={"steps": tuple(step.model_copy(update={"id": "1"}) for step in plan.steps)})
