"""Real servers and tools for tests: found where `make` has put them, started on loopback, stopped when the test is done.

Debian's are unpacked into ``.work/debian`` (``debian.txt`` names them), npm's into ``.work/npm`` (``package.json``), and PyPI's are in the
virtual environment.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import Popen

from rollback_provider.demo import processes
from rollback_provider.demo.processes import answers, free_port, unpacked

__all__ = ["DEBIAN", "ENVIRONMENT", "NPM", "WORK", "answers", "find_program", "free_port", "running"]

WORK = Path(__file__).parents[2] / ".work"
DEBIAN = WORK / "debian"
NPM = WORK / "npm"
ENVIRONMENT = unpacked(DEBIAN)
"""For programs of Debian."""


def find_program(name: str) -> str:
    """The path of a program. Raises FileNotFoundError where `make` has not fetched it."""
    folders = [DEBIAN / "usr/sbin", DEBIAN / "usr/bin", NPM / "node_modules/.bin"]
    found = shutil.which(name, path=os.pathsep.join(map(str, folders))) or shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not in {WORK}: run `make pytest`, which fetches it")
    return found


def running(
    command: Sequence[str], ready: Callable[[], bool], log: Path, environment: Mapping[str, str] = ENVIRONMENT
) -> AbstractContextManager[Popen[bytes]]:
    """A server that has started, with the libraries that `make` has fetched; ended afterwards. Raises RuntimeError."""
    return processes.running(command, ready, log, environment)
