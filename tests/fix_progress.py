"""Where code under test tells how far it is."""

from __future__ import annotations

import pytest


class RecordedProgress:
    """A :class:`~rollback_provider.core.component.Progress` that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.updates: list[tuple[str, float, float | None, str]] = []

    def update(self, what: str, *, done: float, total: float | None = None, unit: str = "rows") -> None:
        """Keeps one update."""
        self.updates.append((what, done, total, unit))

    def message(self, text: str) -> None:
        """Keeps one message."""
        self.messages.append(text)


@pytest.fixture
def progress() -> RecordedProgress:
    """Progress of one test."""
    return RecordedProgress()
