"""What both halves of a rollback through a tool are given."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Event

from rollback_provider.clients.migration_tools import MigrationTool
from rollback_provider.components.postgres.downgrade.target import Aim
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.view import View
from rollback_provider.core.base import Json
from rollback_provider.core.capturer import RecordingBlobs
from rollback_provider.core.component import Notes, Progress
from rollback_provider.core.model import ComponentState, Step


@dataclass(frozen=True)
class Half:
    """One step, in a session that holds the database's advisory lock.

    :param viewing: opens a view of the database as it is then
    """

    component: str
    tool: MigrationTool
    session: Session
    viewing: Callable[[], AbstractContextManager[View]]
    step: Step
    blobs: RecordingBlobs
    notes: Notes
    progress: Progress
    cancelled: Event

    @property
    def aim(self) -> Aim:
        """What the plan knew of the time before it."""
        snapshot, left = (ComponentState.model_validate(self.step.payload[name]) for name in ("snapshot", "left"))
        return Aim(self.component, snapshot, left, self.blobs)

    @property
    def noted(self) -> Json:
        """All that attempts have noted, the latest of each."""
        return {name: value for note in self.notes.earlier() for name, value in note.items()}

    def note(self, **data: object) -> None:
        """Notes something, and which blobs that needs."""
        self.notes.add(data | {"blobs": [*self.blobs.written]})
