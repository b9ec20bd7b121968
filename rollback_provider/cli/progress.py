"""Progress on standard error: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

from rollback_provider.core.component import Progress


class CommandProgress:
    """Progress of one command.

    :param check: called before each message, which stands between two pieces of work; may raise to end the command there
    """

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def update(self, what: str, *, done: float, total: float | None = None, unit: str = "rows") -> None:
        """Shows how far `what` is."""
        self._shown.update(what, done=done, total=total, unit=unit)

    def message(self, text: str) -> None:
        """Shows one line."""
        self._check()
        self._shown.message(text)

    def close(self) -> None:
        """Takes the bars away, so that results can be printed."""
        if "_shown" in self.__dict__:
            self._shown.close()

    @cached_property
    def _shown(self) -> _Shown:
        return _Bars() if sys.stderr.isatty() else _Lines()


class _Shown(Progress, Protocol):
    def close(self) -> None: ...


class _Bars:
    """A bar for each piece of work."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

        unit = TextColumn("{task.fields[unit]}")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), unit, TimeRemainingColumn())
        # Standard output is for results: what is printed there must never end up among the bars.
        self._bars = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
        self._tasks: dict[str, TaskID] = {}
        self._bars.start()

    def update(self, what: str, *, done: float, total: float | None = None, unit: str = "rows") -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total, unit=unit)
        self._bars.update(self._tasks[what], completed=done, total=total)
        if total is not None and done >= total:
            self._bars.remove_task(self._tasks.pop(what))

    def message(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._bars.stop()


class _Lines:
    """A line for each message, and for work that takes long one now and then."""

    def __init__(self) -> None:
        from rollback_provider.hooks.progress import LogProgress

        shown = LogProgress(self)
        self.update = shown.update
        self.message = shown.message

    def info(self, template: str, *values: Any) -> None:
        """What a logger does."""
        print(template % values, file=sys.stderr, flush=True)  # noqa: T201  # the command line's own output

    def close(self) -> None:
        """Nothing stays on the screen."""
