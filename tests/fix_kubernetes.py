"""An emulated Kubernetes API server, once a session, with a namespace for every test that wants one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from tests.parts.api_server import ApiServer


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """The server."""
    with ApiServer("k8s-7d41f0aa") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def next_namespace() -> Callable[[], str]:
    """Gives the name of a namespace that no test has used."""
    numbers = count()
    return lambda: f"shop{next(numbers)}"
