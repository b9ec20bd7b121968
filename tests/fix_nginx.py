"""A real nginx, once a session, with a file of upstreams for every test that wants one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.parts import find_program, running

CONFIGURATION = """
user {user};
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/conf.d/*.conf;
}}
"""
_PATIENCE = 10.0


@dataclass(frozen=True)
class Nginx:
    """A running nginx.

    :param folder: has its pid file, its log, and ``conf.d`` with the files that it includes
    :param command: how it was started
    """

    folder: Path
    command: list[str]

    def reload(self) -> None:
        """Has it read its files, past the component, and waits until a new worker serves."""
        old = self.workers()
        os.kill(int((self.folder / "nginx.pid").read_text()), signal.SIGHUP)
        deadline = time.monotonic() + _PATIENCE
        while not (now := self.workers()) or now & old:
            assert time.monotonic() < deadline, (self.folder / "error.log").read_text()[-2000:]
            time.sleep(0.005)

    def workers(self) -> set[str]:
        """Workers that serve."""
        master = (self.folder / "nginx.pid").read_text().strip()
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return {child for child in children if _serves(child)}


def _serves(process: str) -> bool:
    try:
        title = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
    return title.startswith(b"nginx: worker") and b"shutting down" not in title


@pytest.fixture(scope="session")
def nginx() -> Iterator[Nginx]:
    """The server, with a file of no upstreams."""
    with TemporaryDirectory(prefix="rollback-nginx-") as name:
        folder = Path(name)
        (folder / "conf.d").mkdir()
        user = "root" if os.geteuid() == 0 else "nobody"
        (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, user=user))
        command = [find_program("nginx"), "-c", str(folder / "nginx.conf")]
        started = Nginx(folder, command)
        pid = folder / "nginx.pid"
        foreground = [*command, "-g", "daemon off;"]
        with running(foreground, lambda: bool(pid.exists() and pid.read_text() and started.workers()), folder / "log"):
            yield started


@pytest.fixture
def next_file(nginx: Nginx) -> Iterator[Callable[[], Path]]:
    """Gives paths of files that nginx includes; they are gone when the test is done."""
    numbers = count()
    made = []

    def give() -> Path:
        made.append(nginx.folder / "conf.d" / f"shop{next(numbers)}.conf")
        return made[-1]

    yield give
    for path in made:
        path.unlink(missing_ok=True)
