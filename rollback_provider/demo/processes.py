"""Servers on loopback, started and stopped."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_PATIENCE = 30.0
"""Seconds a server may take to start on a busy machine."""


def free_port() -> int:
    """A port of loopback that nobody uses now, neither by TCP nor by UDP: servers of names use both."""
    while True:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            stream.bind(("127.0.0.1", 0))
            port: int = stream.getsockname()[1]
            with suppress(OSError):
                datagrams.bind(("127.0.0.1", port))
                return port


def answers(port: int) -> bool:
    """Whether something accepts connections on this port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def unpacked(root: Path) -> dict[str, str]:
    """The environment for programs of Debian packages that were unpacked below `root`: they find their libraries beside them."""
    libraries = [path for part in ("usr/lib", "lib") for path in (root / part, *(root / part).glob("*-linux-gnu"))]
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries))}


@contextmanager
def running(
    command: Sequence[str], ready: Callable[[], bool], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that has started; ended afterwards. Raises RuntimeError with the end of its log where it does not start."""
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  the caller names the program
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
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
