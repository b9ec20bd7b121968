"""Real servers and tools for tests: found where `make` has put them, started on loopback, stopped when the test is done.

Debian's are unpacked into ``.work/debian`` (``debian.txt`` names them), npm's into ``.work/npm`` (``package.json``), and PyPI's are in the
virtual environment.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

WORK = Path(__file__).parents[2] / ".work"
DEBIAN = WORK / "debian"
NPM = WORK / "npm"
_LIBRARIES = [
    str(path) for part in ("usr/lib", "lib") for path in (DEBIAN / part, *(DEBIAN / part).glob("*-linux-gnu"))
]
ENVIRONMENT = {**os.environ, "LD_LIBRARY_PATH": ":".join(_LIBRARIES)}
"""For programs of Debian, which find their libraries beside them."""
_PATIENCE = 30.0
"""Seconds a server may take to start on a busy machine."""


def find_program(name: str) -> str:
    """The path of a program. Raises FileNotFoundError where `make` has not fetched it."""
    folders = [DEBIAN / "usr/sbin", DEBIAN / "usr/bin", NPM / "node_modules/.bin"]
    found = shutil.which(name, path=os.pathsep.join(map(str, folders))) or shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not in {WORK}: run `make pytest`, which fetches it")
    return found


def free_port(*, udp: bool = False) -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether something accepts connections on this port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(
    command: Sequence[str], ready: Callable[[], bool], log: Path, environment: Mapping[str, str] = ENVIRONMENT
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that has started; ended afterwards. Raises RuntimeError with the end of its log where it does not start."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
    try:
        deadline = time.monotonic() + _PATIENCE
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} has not started: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
