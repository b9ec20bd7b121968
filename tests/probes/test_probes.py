"""Probes measure real servers, and what they cannot measure is unknown, with a reason that holds no secret."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest

from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.probes import Measurement, measure_now, parse_probe
from tests.fix_postgres import Database
from tests.fix_prometheus import Prometheus
from tests.parts import free_port


class Handler(BaseHTTPRequestHandler):
    """Answers ``/503`` with that status and all else with 200; ``/hang`` says a byte now and then, ``/mute`` nothing."""

    asked: ClassVar[list[Any]] = []

    def do_GET(self) -> None:
        """Answers."""
        self.asked.append(self.headers)
        if self.path == "/mute":
            time.sleep(0.5)
            return
        body = json.dumps({"orders": [{"total": 5, "paid": True, "note": "x"}], "ratio": float("nan"), "a.b": 2})
        self.send_response(503 if self.path == "/503" else 302 if self.path == "/away" else 200)
        if self.path == "/away":
            self.send_header("Location", "/")
        if self.path == "/hang":
            self.end_headers()
            for _ in range(10):
                self.wfile.write(b"x")
                time.sleep(0.05)
            return
        if self.path == "/long":
            body = "x" * 1_000_001
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def shop() -> Iterator[Connection]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield Connection("shop", "http", "127.0.0.1", server.server_port, "ada", "hunter2", extra={"X-Tenant": "north"})
        server.shutdown()
        thread.join()


def asked(connection: Connection, **probe: Any) -> Measurement:
    """What a probe of this connection measures."""
    return measure_now(parse_probe({"connection": connection.id, "timeout": 5} | probe), lambda _: connection)


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ({}, 200),
        ({"path": "/503"}, 503),
        ({"path": "/away"}, 302),
        ({"contains": '"total"'}, 1),
        ({"contains": "never"}, 0),
        ({"contains": '"total"', "path": "/503"}, 0),
        ({"json_path": "$.orders[0].total"}, 5),
        ({"json_path": "orders[0].paid"}, 1),
        ({"jsonPath": '$["a.b"]'}, 2),
        ({"json_path": "$.orders[0].note"}, "of type str, not a number"),
        ({"json_path": "$.orders[1].total"}, r"nothing at $.orders[1].total"),
        ({"json_path": "$.orders.total"}, "nothing at"),
        ({"json_path": "$.orders[0].total", "path": "/503"}, "the answer is 503"),
        ({"json_path": "$.ratio"}, "the answer is nan"),
        ({"json_path": "$.x", "path": "/long"}, "longer than 1 MB"),
        ({"latency": True, "path": "/503"}, "the answer is 503"),
        ({"path": "/hang", "timeout": 0.1}, "no answer within 0.1 s"),
        ({"path": "/mute", "timeout": 0.1}, "no answer within 0.1 s"),
    ],
)
def test_http(shop: Connection, probe: dict[str, Any], expected: float | str) -> None:
    found = asked(shop, kind="http", **probe)
    if isinstance(expected, str):
        assert found.value is None
        assert expected in found.unknown
    else:
        assert (found.value, found.unknown) == (expected, "")
    assert found.seconds > 0


def test_http_latency_is_what_it_took(shop: Connection) -> None:
    found = asked(shop, kind="http", latency=True)
    assert found.value == found.seconds


def test_http_sends_the_credentials_of_the_connection_and_shows_none(shop: Connection) -> None:
    asked(shop, kind="http")
    assert Handler.asked[-1]["Authorization"].startswith("Basic ")
    assert Handler.asked[-1]["X-Tenant"] == "north"
    gone = replace(shop, port=free_port(), extra={"Authorization": "Bearer hunter3\n"})
    for connection in (
        gone,
        replace(gone, extra={}),
        replace(gone, host="no such host"),
        replace(gone, host="x" * 300),
    ):
        found = asked(connection, kind="http", path="/health?key=hunter4")
        assert "no answer" in found.unknown
        assert "hunter" not in found.unknown


SERIES = 'label_replace(vector(1), "a", "x", "", "") or label_replace(vector(2), "a", "y", "", "")'


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("vector(3.5)", 3.5),
        ("2 * 4", 8),
        ("shop_errors_total", "there is no such series"),
        (SERIES, "the query gives 2 series, not one"),
        ("vector(0) / vector(0)", "the answer is nan"),
        ("vector(1) / 0", "the answer is inf"),
        ("up[1m]", "the query gives a matrix"),
        ('"three"', "the query gives a string"),
        ("rate(errors[1m)", "Prometheus refuses the query: invalid parameter"),
    ],
)
def test_prometheus(prometheus: Prometheus, query: str, expected: float | str) -> None:
    found = asked(prometheus.connection, kind="prometheus", query=query)
    if isinstance(expected, str):
        assert found.value is None
        assert expected in found.unknown
    else:
        assert (found.value, found.unknown) == (expected, "")


def test_prometheus_that_is_none_or_down(prometheus: Prometheus, shop: Connection) -> None:
    assert asked(shop, kind="prometheus", query="up").unknown == "the answer is 200, and not one of Prometheus"
    down = replace(prometheus.connection, port=free_port())
    assert asked(down, kind="prometheus", query="up").unknown == "the server gives no answer (ConnectError)"


TOTALS = "(values (1), (2)) orders (total)"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"select count(*) from {TOTALS}", 2),
        ("select 2.5::numeric", 2.5),
        ("select true", 1),
        ("select 100 % 7", 2),
        (f"select sum(total) from {TOTALS} where false", "nothing (null)"),
        (f"select total from {TOTALS}", "several rows"),
        (f"select total from {TOTALS} where false", "no row"),
        ("select 1, 2", "gives 2 columns"),
        ("select 'x'", "of type str, not a number"),
        ("select 'NaN'::float8", "the answer is nan"),
        ("select nothing", 'PostgreSQL refuses the query: column "nothing" does not exist'),
        ("select pg_sleep(60)", "no answer within 0.3 s"),
    ],
)
def test_sql(postgres_socket: str, query: str, expected: float | str) -> None:
    timeout = 0.3 if "sleep" in query else 5
    found = asked(Database(postgres_socket, "postgres").connection, kind="sql", query=query, timeout=timeout)
    if isinstance(expected, str):
        assert found.value is None
        assert expected in found.unknown
    else:
        assert (found.value, found.unknown) == (expected, "")


def test_sql_writes_nothing(database: Database) -> None:
    database.run("create table orders (total int); insert into orders values (1), (2)")
    for query, reason in {
        "delete from orders returning 1": "read-only transaction",
        "commit; delete from orders": "multiple commands",
        "set transaction read write": "before any query",
        "commit": "gives 0 columns",
    }.items():
        assert reason in asked(database.connection, kind="sql", query=query).unknown
    assert database.rows("select count(*) from orders") == [(2,)]


def test_sql_where_nobody_listens_or_the_password_is_wrong(database: Database, shop: Connection) -> None:
    gone = replace(database.connection, host="127.0.0.1", port=free_port(), password="hunter2")  # noqa: S106
    nobody = replace(database.connection, login="nobody here", password="hunter2")  # noqa: S106
    for connection in (gone, nobody):
        found = asked(connection, kind="sql", query="select 1")
        assert "cannot connect to PostgreSQL" in found.unknown
        assert "hunter2" not in found.unknown
    assert asked(shop, kind="sql", query="select 1").unknown == "Connection 'shop' is of type 'http'"
    hung = replace(database.connection, host="127.0.0.1", port=shop.port)  # it waits for more of a request
    assert asked(hung, kind="sql", query="select 1", timeout=0.3).unknown


def test_sql_on_a_server_that_says_nothing_any_more(database: Database) -> None:
    found: list[Measurement] = []
    probe = {"kind": "sql", "query": "select pg_sleep(60)", "timeout": 0.5}
    waiting = Thread(target=lambda: found.append(asked(database.connection, **probe)))
    with database.connect() as other:
        waiting.start()
        pid = _backend(other)
        os.kill(pid, signal.SIGSTOP)
        try:
            waiting.join(30)
        finally:
            os.kill(pid, signal.SIGCONT)
    assert [each.unknown for each in found] == ["no answer within 0.5 s"]


def _backend(other: Any) -> int:
    for _ in range(1000):
        row = other.execute("select pid from pg_stat_activity where query ~ '^select pg_sleep'").fetchone()
        if row:
            return int(row[0])
    raise AssertionError("the statement did not start")


def test_a_connection_that_is_not_there_is_unknown(database: Database) -> None:
    found = measure_now(parse_probe({"kind": "sql", "connection": "gone", "query": "select 1"}), database.resolve)
    assert found.unknown == "There is no connection 'gone'"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "kind"),
        ("select 1", "malformed"),
        ({"kind": "ldap", "connection": "x"}, "ldap.*sql"),
        ({"kind": "sql", "connection": "x"}, "sql.query: Field required"),
        ({"kind": "sql", "connection": "x", "query": "select 1", "retries": 2}, "retries: Extra inputs"),
        ({"kind": "http", "connection": "x", "path": "//elsewhere/x"}, "path"),
        ({"kind": "http", "connection": "x", "path": "http://elsewhere/x"}, "path"),
        ({"kind": "http", "connection": "x", "json_path": "$.orders[*]"}, "not a path to one place"),
        ({"kind": "http", "connection": "x", "contains": "a", "latency": True}, "one number"),
        ({"kind": "prometheus", "connection": "x", "query": "up", "timeout": 0}, "timeout"),
    ],
)
def test_a_malformed_probe_is_refused_when_it_is_read(entry: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_probe(entry)


def test_reading_a_declaration_imports_no_client() -> None:
    script = """
import sys
from rollback_provider.probes import parse_probe
parse_probe({"kind": "sql", "connection": "x", "query": "select 1"})
print([name for name in ("airflow", "httpx", "psycopg") if name in sys.modules])
"""
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert said.stdout == "[]\n"
