"""A real HAProxy, once a session, with a backend for every test that wants one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.parts import find_program, running

BACKENDS = 900
CONFIGURATION = """
global
    stats socket {folder}/admin.sock level admin
    stats socket {folder}/operator.sock level operator
defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
"""
BACKEND = """
backend {name}
    balance roundrobin
    stick-table type string len 32 size 64 expire 30m
    stick on req.cook(user)
    server s1 127.0.0.1:9001 weight 100
    server s2 127.0.0.1:9002 weight 50 disabled
    server s3 127.0.0.1:9003 weight 10
"""


@pytest.fixture(scope="session")
def haproxy() -> Iterator[Path]:
    """The folder with the sockets ``admin.sock`` and ``operator.sock``."""
    with TemporaryDirectory(prefix="rollback-haproxy-") as name:
        folder = Path(name)
        text = CONFIGURATION.format(folder=folder)
        text += "".join(BACKEND.format(name=f"web{number}") for number in range(BACKENDS))
        (folder / "haproxy.cfg").write_text(text)
        command = [find_program("haproxy"), "-f", str(folder / "haproxy.cfg")]
        with running(command, (folder / "admin.sock").exists, folder / "log"):
            yield folder


@pytest.fixture(scope="session")
def next_backend() -> Callable[[], str]:
    """Gives the name of a backend that no test has used."""
    numbers = count()
    return lambda: f"web{next(numbers)}"
