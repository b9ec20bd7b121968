"""Answers of a server, as components see them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar

import pytest

from rollback_provider.clients.http import Api, base_url
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ComponentUnavailableError, PermissionDeniedError, StepFailedError


class Handler(BaseHTTPRequestHandler):
    """Answers with the status that the path names; ``/flaky`` fails twice."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Answers."""
        self.asked.append(self.path)
        flaky = self.path == "/flaky" and self.asked.count("/flaky") < 3
        status = 503 if flaky else 200 if self.path == "/flaky" else int(self.path[1:])
        body = json.dumps({"says": "no\nsuch thing", "asks": self.headers.get("Authorization", "")}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET  # noqa: N815  the name is that of the standard library

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[Connection]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield Connection(id="lb", type="http", host="127.0.0.1", port=running.server_port)
        running.shutdown()
        thread.join()


@pytest.fixture
def api(server: Connection) -> Iterator[Api]:
    api = Api("edge", server, headers={"Authorization": "secret"})
    yield api
    api.close()


def test_an_answer(api: Api) -> None:
    assert api.get("/200").json()["asks"] == "secret"
    assert api.send("PUT", "/412", accept=(412,)).status_code == 412


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/403", PermissionDeniedError, "edge: PUT /403 was answered 403"),
        ("/401", PermissionDeniedError, "answered 401"),
        ("/422", StepFailedError, r'answered 422: \{"says": "no\\nsuch thing"'),
        ("/500", ComponentUnavailableError, "answered 500"),
        ("/429", ComponentUnavailableError, "answered 429"),
    ],
)
def test_a_refusal(api: Api, path: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        api.send("PUT", path)
    assert Handler.asked.count(path) == 1, "a write is tried once"


def test_reading_is_tried_again(api: Api) -> None:
    assert api.get("/flaky").is_success
    with pytest.raises(ComponentUnavailableError, match="answered 502"):
        api.get("/502")


def test_nobody_listens() -> None:
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Handler) as taken,
        pytest.raises(ComponentUnavailableError, match=r"edge: 127.0.0.1 gives no answer"),
    ):
        taken.socket.close()
        Api("edge", Connection(id="lb", type="http", host="127.0.0.1", port=taken.server_port)).get("/")


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        (Connection("a", "http", host="lb", port=81, login="u", password="p"), "http://lb:81"),  # noqa: S106  no server has it
        (Connection("a", "http", host="https://lb"), "https://lb"),
        (Connection("a", "http", host="lb", schema="https"), "https://lb"),
        (Connection("a", "http", port=2019), "http://localhost:2019"),
    ],
)
def test_addresses(connection: Connection, expected: str) -> None:
    assert base_url(connection) == expected
