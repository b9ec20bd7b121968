"""An application that writes to the benchmark's table while it is rolled back or restored."""

from __future__ import annotations

import threading
import time
from random import Random
from types import TracebackType
from typing import Self

import psycopg

RATE = 200
"""Writes a second."""


class Writer:
    """Updates a column that the migration leaves alone, in random rows, from entering the block until leaving it.

    :param rows: keys up to this one are used
    """

    def __init__(self, dsn: str, rows: int) -> None:
        self._dsn = dsn
        self._rows = rows
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.milliseconds: list[float] = []
        self.errors = 0
        self.longest_gap = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.milliseconds.sort()

    @property
    def p99(self) -> float:
        """Milliseconds within which 99 of 100 writes were done."""
        return self.milliseconds[len(self.milliseconds) * 99 // 100] if self.milliseconds else 0.0

    @property
    def worst(self) -> float:
        """Milliseconds of the slowest write."""
        return self.milliseconds[-1] if self.milliseconds else 0.0

    def _run(self) -> None:
        random = Random(1)
        last = time.perf_counter()
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._stop.is_set():
                started = time.perf_counter()
                values = [random.randrange(100), random.randrange(1, self._rows)]
                try:
                    done = connection.execute("update measurements set quantity = %s where id = %s", values).rowcount
                except psycopg.Error:
                    self.errors += 1
                    done = 0
                now = time.perf_counter()
                if done:
                    self.milliseconds.append((now - started) * 1000)
                    self.longest_gap = max(self.longest_gap, now - last)
                    last = now
                self._stop.wait(max(0.0, 1 / RATE - (now - started)))
        self.longest_gap = max(self.longest_gap, time.perf_counter() - last)
