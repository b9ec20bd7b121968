"""A real Prometheus, once a session, which scrapes four times a second what a test asks it to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from rollback_provider.core.component import Connection
from tests.parts import find_program, free_port, running

CONFIGURATION = """
global: {scrape_interval: 250ms, scrape_timeout: 250ms}
scrape_configs:
- job_name: shop
  file_sd_configs: [{files: [targets.json]}]
"""


@dataclass(frozen=True)
class Prometheus:
    """The server."""

    port: int
    folder: Path

    @property
    def connection(self) -> Connection:
        """As Airflow knows it."""
        return Connection(id="prometheus", type="http", host="127.0.0.1", port=self.port)

    def scrape(self, *ports: int) -> None:
        """From now on scrapes these ports of loopback and no others."""
        targets = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
        draft = self.folder / "draft"
        draft.write_text(json.dumps(targets))
        draft.replace(self.folder / "targets.json")


@pytest.fixture(scope="session")
def prometheus() -> Iterator[Prometheus]:
    """Started."""
    with TemporaryDirectory(prefix="rollback-prometheus-") as name:
        server = Prometheus(free_port(), Path(name))
        (server.folder / "prometheus.yml").write_text(CONFIGURATION)
        server.scrape()
        command = [find_program("prometheus"), f"--config.file={name}/prometheus.yml", f"--storage.tsdb.path={name}"]
        command.append(f"--web.listen-address=127.0.0.1:{server.port}")

        def ready() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{server.port}/-/ready", timeout=1).is_success
            except httpx.HTTPError:
                return False

        with running(command, ready, server.folder / "log"):
            yield server
