"""SIGINT and SIGTERM: what runs is cancelled in the system itself, and the journal stays as valid as after any failure."""

from __future__ import annotations

import signal
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

from rollback_provider.core.component import Component

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptedBySignal(BaseException):
    """Ends a command between two pieces of work. Not an Exception, so that no component takes it for a failure of its own."""


class Interrupt:
    """While entered, the first signal cancels the watched components and keeps others from starting.

    A second signal ends the command at once.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._components: list[Component] = []
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def watch(self, component: Component) -> None:
        """Cancels this component on a signal; where there was one already, ends the command."""
        self.check()
        self._components.append(component)

    def check(self) -> None:
        """Ends the command where there was a signal."""
        if self.signal:
            raise InterruptedBySignal

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.signal:
            raise InterruptedBySignal
        self.signal = signal.Signals(number)
        for component in self._components:
            with suppress(Exception):  # what cannot be cancelled ends with the process
                component.cancel()
