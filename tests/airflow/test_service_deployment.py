"""The sample deployment on a real OpenTofu and a real Unleash: the service is not well, so stack and flag go back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from rollback_provider.core.record import load_record
from rollback_provider.store import open_store
from tests.fix_airflow import HOME, Run
from tests.fix_tofu import ENVIRONMENT, TOFU, copy_stacks, run_tofu
from tests.fix_unleash import TOKEN, Unleash

FLAG = "checkout-express"
FEATURES = "/projects/default/features"


@pytest.fixture
def sick() -> Iterator[int]:
    """The port of a service that is not well."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_stack_and_flag_go_back(
    run_dag: Callable[..., Run],
    stacks: Path,
    unleash: Unleash,
    sick: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    root = copy_stacks(stacks, HOME / "service")
    unleash.ask("POST", FEATURES, {"name": FLAG, "type": "release"})
    url = f"file://{tmp_path}/store"
    for name, connection in {
        "infra": {"conn_type": "opentofu", "extra": {"environment": ENVIRONMENT}},
        "unleash": {"conn_type": "unleash", "host": "127.0.0.1", "port": unleash.port, "password": TOKEN},
        "service_http": {"conn_type": "http", "host": "127.0.0.1", "port": sick},
        "rollback_store_default": {"conn_type": "rollback_store", "host": url},
    }.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
    monkeypatch.delenv("TF_CLI_CONFIG_FILE", raising=False)
    monkeypatch.setenv("PATH", f"{TOFU.parent}{os.pathsep}{os.environ['PATH']}")
    run = run_dag("service_deployment", {})
    assert run.states["migrate.switch_on"] == "success"
    assert (run.state, run.xcom("outcome", "outcome")) == ("failed", "ROLLED_BACK")
    assert run_tofu(root / "web", "output", "-raw", "version") == "v1"
    enabled = {each["name"]: each["enabled"] for each in unleash.ask("GET", f"{FEATURES}/{FLAG}")["environments"]}
    assert enabled["production"] is False
    record = load_record(open_store(url), run.xcom("rollback.verify"))
    assert record.execution.status == "verified"
    assert "tofu" in record.scripts.infrastructure
    assert FLAG in record.scripts.application
    assert TOKEN not in json.dumps(record.to_json())
