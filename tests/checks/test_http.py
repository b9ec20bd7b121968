"""Checks of a server that answers, slowly or never."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rollback_provider.core.checking import run_checks, seal_checks
from rollback_provider.core.checks import parse_checks
from rollback_provider.core.component import Connection, ConnectionResolver
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.verification import Check

BODY = {"status": "ok", "orders": [{"id": 1, "total": 10.5}], "open": 3, "ready": True}


class Shop(BaseHTTPRequestHandler):
    """Answers by its paths; ``/never`` does not."""

    def do_GET(self) -> None:
        """Answers."""
        if self.path == "/never":
            time.sleep(5)
        status = {"/orders": 200, "/text": 200, "/gone": 410}.get(self.path, 404)
        body = b"all is well" if self.path == "/text" else json.dumps(BODY).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its name upstream
        """Says nothing."""


@pytest.fixture(scope="module")
def shop() -> Iterator[ConnectionResolver]:
    """A connection to the server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection = Connection("shop", "http", "127.0.0.1", server.server_port)
    yield lambda _: connection
    server.shutdown()
    server.server_close()


def run(connections: ConnectionResolver, **options: Any) -> list[Check]:
    """What one check finds."""
    given = {"kind": "http", "name": "orders", "connection": "shop"} | options
    return run_checks(seal_checks(parse_checks([given]), connections), "migration", connections)


@pytest.mark.parametrize(
    ("options", "status", "named"),
    [
        ({"path": "/orders"}, "passed", "answered in"),
        ({"path": "/nowhere"}, "failed", "the status is 404, not 200"),
        ({"path": "/gone", "status": 410}, "passed", ""),
        ({"path": "/text", "contains": "well"}, "passed", ""),
        ({"path": "/text", "contains": "ill"}, "failed", 'the body does not hold "ill"'),
        ({"path": "/orders", "values": {"$.status": "ok", "$.orders[0].total": 10.5, "$.ready": True}}, "passed", ""),
        ({"path": "/orders", "values": {"$.open": 4}}, "failed", "$.open is 3, not 4"),
        ({"path": "/orders", "values": {"$.ready": 1}}, "failed", "$.ready is true, not 1"),
        ({"path": "/orders", "values": {"$.orders[1].id": 1}}, "failed", "the body has nothing at $.orders[1].id"),
        ({"path": "/text", "values": {"$.status": "ok"}}, "failed", "the body is not JSON"),
        ({"path": "/orders", "max_seconds": 1e-9}, "failed", "the answer took"),
        ({"path": "/orders", "max_seconds": 50}, "passed", ""),
        ({"path": "/never", "timeout": 0.3}, "unknown", "No answer within 0.3 s"),
        ({"kind": "probe", "probe": {"kind": "http", "connection": "shop", "path": "/orders", "json_path": "$.open"}, "above": 2}, "failed", "at most 2 3"),
        ({"kind": "probe", "probe": {"kind": "http", "connection": "shop", "path": "/text", "json_path": "$.open"}, "above": 2}, "unknown", "not JSON"),
    ],
)  # fmt: skip
def test_an_answer_is_right_or_not_or_there_is_none(
    shop: ConnectionResolver, options: dict[str, Any], status: str, named: str
) -> None:
    if "probe" in options:
        options = options | {"connection": None}
    (check,) = run(shop, **options)
    path = options.get("path") or options["probe"]["path"]
    assert (check.status.value, check.statement) == (status, f"GET {path}"), check
    assert named in " ".join((check.expected, check.actual, check.detail, *check.differences))


def test_a_server_that_is_not_there_is_unknown() -> None:
    (check,) = run(lambda _: Connection("shop", "http", "127.0.0.1", 1), path="/orders")
    assert (check.status.value, check.detail) == ("unknown", "the server gives no answer (ConnectError)")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "orders"}, "path: String should match pattern"),
        ({"values": {"$..x": 1}}, "values: Value error, not a path to one place"),
        ({"kind": "probe", "above": 1}, "Condition orders is malformed: probe: Field required"),
        ({"kind": "performance", "sql": "select 1", "path": "/"}, "give sql or a path"),
        ({"kind": "performance", "path": "/", "tolerance": 1}, "tolerance: Input should be greater than 1"),
    ],
)
def test_a_malformed_declaration_is_named(shop: ConnectionResolver, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        run(shop, **options)


def test_an_endpoint_s_times_are_compared(shop: ConnectionResolver) -> None:
    (check,) = run(shop, kind="performance", path="/orders", tolerance=100, samples=20)
    assert (check.status.value, check.scope, check.area.value) == ("passed", "times", "performance")
    assert check.statement == "GET /orders"
