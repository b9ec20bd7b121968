"""The sample cutover on a real HAProxy and a real BIND, while clients go on asking."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import dns.message
import dns.query
import pytest

from rollback_provider.components.traffic.haproxy_socket import RuntimeApi
from rollback_provider.core.component import Connection
from rollback_provider.core.record import load_record
from rollback_provider.demo.machines import HAPROXY
from rollback_provider.demo.users import Users
from rollback_provider.store import open_store
from tests.fix_airflow import Run
from tests.fix_bind import KEY, SECRET
from tests.parts import find_program, free_port, running
from tests.parts.forwarder import Forwarder


def serving(name: str, *, checkout: int) -> ThreadingHTTPServer:
    """A server that says its name, slowly, and whose checkout answers with this status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(0.01)
            self.send_response(checkout if self.path == "/checkout" else 200)
            body = json.dumps({"server": name}).encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[RuntimeApi, Connection]]:
    """The shop's load balancer in front of an old and a new server, of which the new one cannot take money."""
    blue, green, port = serving("blue", checkout=200), serving("green", checkout=500), free_port()
    text = HAPROXY.format(folder=tmp_path, port=port, blue=blue.server_port, green=green.server_port)
    (tmp_path / "haproxy.cfg").write_text(text)
    command = [find_program("haproxy"), "-f", str(tmp_path / "haproxy.cfg")]
    socket = tmp_path / "admin.sock"
    with running(command, socket.exists, tmp_path / "haproxy.log"):
        edge = RuntimeApi("edge", Connection("edge_haproxy", "haproxy", host=str(socket)))
        yield edge, Connection("shop_http", "http", host="127.0.0.1", port=port)
    for server in (blue, green):
        server.shutdown()
        server.server_close()


def test_no_request_fails_and_everybody_is_back_where_they_were(
    shop: tuple[RuntimeApi, Connection],
    bind: Forwarder,
    run_dag: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    edge, http = shop
    store = f"file://{tmp_path}/store"
    for name, connection in {
        "edge_haproxy": {"conn_type": "haproxy", "host": str(tmp_path / "admin.sock")},
        "names_dns": {"conn_type": "dns", "host": "127.0.0.1", "port": bind.port, "login": KEY, "password": SECRET},
        "shop_http": {"conn_type": "http", "host": http.host, "port": http.port},
        "rollback_store_default": {"conn_type": "rollback_store", "host": store},
    }.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
    users = Users(f"http://127.0.0.1:{http.port}", ["ada", "grace"])
    with users.coming():
        run = run_dag("traffic_cutover", {})
    assert (run.state, run.xcom("outcome", "outcome")) == ("failed", "ROLLED_BACK")
    assert not users.errors
    assert users.ways == {name: ["blue", "green", "blue"] for name in users.ways}
    assert {server.name: server.state for server in edge.servers("shop")} == {"blue": "ready", "green": "maint"}
    query = dns.message.make_query("www.shop.test", "A")
    assert "192.0.2.1" in dns.query.tcp(query, "127.0.0.1", port=bind.port).answer[0].to_text().split()
    record = load_record(open_store(store), run.xcom("rollback.verify"))
    assert record.execution.status == "verified"
    assert "set server shop/green state maint" in record.scripts.infrastructure
    assert "update add www.shop.test. 60 A 192.0.2.1" in record.scripts.infrastructure
    assert any("those who are there stay until their sessions end" in note for note in record.notes)
