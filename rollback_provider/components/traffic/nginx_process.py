"""A running nginx: its configuration tested, reloaded, and the reload seen in its processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rollback_provider.clients.command import Program
from rollback_provider.core.errors import ComponentUnavailableError, StepFailedError

_LOOK = 0.02
"""Seconds between two looks at the workers after a reload."""
_SERVING = "nginx: worker process"
_TICKS = os.sysconf("SC_CLK_TCK")
_EXACT = 0.02
"""Seconds to which the beginnings of processes and the times of files can be told apart."""


class Nginx:
    """The nginx of this machine whose master wrote a pid file.

    :param command: the program and arguments with which it was started
    :param wait: see :meth:`rollback_provider.clients.command.Program.run`
    """

    def __init__(
        self, component: str, command: Sequence[str], pid_file: Path, seconds: float, wait: Callable[[float], None]
    ) -> None:
        self._component = component
        self._program = Program(component, command[0], install="Install it, or correct `command`")
        self._arguments = command[1:]
        self._pid_file = pid_file
        self._seconds = seconds
        self._wait = wait

    def test(self) -> None:
        """Has nginx read its configuration. Raises StepFailedError with its words where it does not take it."""
        self._run("-t", "-q")

    def reload(self) -> None:
        """Reloads, and returns once new workers serve and the old ones take no more requests. Raises StepFailedError."""
        old = self.workers()
        self._run("-s", "reload")
        deadline = time.monotonic() + self._seconds
        while not (now := self.workers()) or now & old:
            if time.monotonic() > deadline:
                raise StepFailedError(
                    f"nginx has not changed its workers within {self._seconds:g} seconds",
                    component=self._component,
                    next_step="Read its error log, then execute the same rollback again",
                )
            self._wait(_LOOK)

    def workers(self) -> set[int]:
        """Process ids of the workers that take requests. Raises ComponentUnavailableError where nginx does not run."""
        try:
            master = int(self._pid_file.read_text())
            children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        except (OSError, ValueError):
            raise ComponentUnavailableError(
                f"nginx does not run: {self._pid_file} names no process", component=self._component
            ) from None
        return {int(child) for child in children if _title(child).startswith(_SERVING)}

    def older_than(self, path: Path) -> list[int]:
        """Workers that began before a file was written, and so cannot have read it."""
        written = time.time() - path.stat().st_mtime
        return sorted(worker for worker in self.workers() if _age(worker) > written + _EXACT)

    def _run(self, *arguments: str) -> None:
        self._program.run(*self._arguments, *arguments, timeout=self._seconds, wait=self._wait)


def _title(process: str) -> str:
    """What a process calls itself: one that is shutting down does not serve."""
    try:
        title = Path(f"/proc/{process}/cmdline").read_bytes().rstrip(b"\0 ").decode(errors="replace")
    except OSError:
        return ""
    return "" if "shutting down" in title else title


def _age(process: int) -> float:
    """Seconds since a process began; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    up = float(Path("/proc/uptime").read_text().split()[0])
    return up - int(fields[19]) / _TICKS
