"""Progress of long work in the task log: one line now and then, not one a row."""

from __future__ import annotations

import time
from logging import Logger
from threading import Lock
from typing import Any

INTERVAL = 10.0
"""Seconds between two lines about the same piece of work."""


class LogProgress:
    """A :class:`~rollback_provider.core.component.Progress` that writes to a logger.

    Work that ends within the interval gets no line of its own: what came of it is in the log anyway.
    """

    def __init__(self, log: Logger | Any, interval: float = INTERVAL) -> None:
        self._log = log
        self._interval = interval
        self._lock = Lock()
        self._begun: dict[str, float] = {}
        self._shown: dict[str, float] = {}

    def update(self, what: str, *, done: float, total: float | None = None, unit: str = "rows") -> None:
        """Writes how far `what` is, how fast it goes and how long it will take, unless it has done so just now."""
        now = time.monotonic()
        with self._lock:
            begun = self._begun.setdefault(what, now)
            finished = total is not None and done >= total
            since = now - self._shown.get(what, begun)
            if since < self._interval and not (finished and what in self._shown):
                return
            self._shown[what] = now
            if finished:
                del self._begun[what], self._shown[what]
        self._log.info("%s: %s", what, describe(done, total, unit, now - begun))

    def message(self, text: str) -> None:
        """Writes one line."""
        self._log.info("%s", text)


def describe(done: float, total: float | None, unit: str, seconds: float) -> str:
    """``1,200,000 of 5,000,000 rows (24 %), 110,000 a second, 35 s left``."""
    text = f"{done:,.0f} {unit}"
    if total:
        text = f"{done:,.0f} of {total:,.0f} {unit} ({100 * done / total:.0f} %)"
    if not (seconds > 0 and done > 0):
        return text
    rate = done / seconds
    text += f", {rate:,.0f} a second"
    if total and done < total:
        text += f", {_clock((total - done) / rate)} left"
    return text


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
