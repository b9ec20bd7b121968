"""Runs a program: never through a shell, never without a limit, and ended with all its children when it is not wanted any more."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from rollback_provider.core.errors import ConfigurationError, StepFailedError

_POLL = 0.05
"""Seconds between two looks at a program that runs."""
_GRACE = 5.0
"""Seconds between asking a program to end and killing it."""


@dataclass(frozen=True)
class Completed:
    """A program that has ended.

    :param output: what it wrote to standard output; what is not UTF-8 in it is shown in hexadecimal
    :param errors: the same of standard error
    """

    code: int
    output: str
    errors: str


@dataclass(frozen=True)
class Program:
    """A program and the surroundings in which a component runs it.

    :param component: the component's name, for errors
    :param path: name or path of the program
    :param cwd: directory it runs in
    :param environment: variables beyond those of this process; None takes one away
    :param secrets: texts that are shown as ``***`` in whatever it writes
    :param install: what to do where there is no such program
    :param kept: bytes of what it writes that are kept, from the end
    """

    component: str
    path: str
    cwd: Path | None = None
    environment: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)
    install: str = ""
    kept: int = 64 * 1024

    def run(
        self, *arguments: str, timeout: float, wait: Callable[[float], None] = time.sleep, accept: Sequence[int] = (0,)
    ) -> Completed:
        """Runs it to its end.

        :param timeout: seconds after which it is ended
        :param wait: is called all the time while it runs, with seconds to wait; what it raises ends the program
        :param accept: exit codes that are no failure

        Raises ConfigurationError where it is not installed, StepFailedError where it fails or takes too long.
        """
        with TemporaryFile() as output, TemporaryFile() as errors:
            process = self._start(arguments, output, errors)
            try:
                ended = _await(process, time.monotonic() + timeout, wait)
            finally:
                _end(process)
            completed = Completed(process.returncode, self._read(output), self._read(errors))
        if not ended:
            raise self._failed(arguments, f"took longer than {timeout:g} seconds and was ended", completed)
        if completed.code not in accept:
            raise self._failed(arguments, f"failed with exit code {completed.code}", completed)
        return completed

    def _start(self, arguments: Sequence[str], output: IO[bytes], errors: IO[bytes]) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **self.environment}
        try:
            return subprocess.Popen(  # noqa: S603  a list, not a shell
                [self.path, *arguments],
                cwd=self.cwd,
                env={name: value for name, value in environment.items() if value is not None},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            missing = isinstance(error, FileNotFoundError) and error.filename == self.path
            raise ConfigurationError(
                f"The program {self.path!r} is not installed" if missing else f"{self.path}: {error.strerror}",
                component=self.component,
                next_step=self.install if missing else "",
            ) from error

    def _read(self, stream: IO[bytes]) -> str:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - self.kept))
        text = stream.read().decode(errors="backslashreplace")
        for secret in filter(None, self.secrets):
            text = text.replace(secret, "***")
        return text

    def _failed(self, arguments: Sequence[str], what: str, completed: Completed) -> StepFailedError:
        said = (completed.errors.strip() or completed.output.strip()).splitlines()[-5:]
        command = " ".join([Path(self.path).name, *arguments[:2]])
        return StepFailedError(f"{command} {what}: {' | '.join(said) or 'it said nothing'}", component=self.component)


def _await(process: subprocess.Popen[bytes], deadline: float, wait: Callable[[float], None]) -> bool:
    """Whether the program has ended before its deadline."""
    while process.poll() is None:
        if time.monotonic() >= deadline:
            return False
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL)
            return True
        wait(0)
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the program and its children, politely first. The group may outlive its leader."""
    running = process.poll() is None
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, sent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE if running else 0)
