"""A way to moto's server on which calls are refused or answers are lost, so that errors are read off the wire.

Refusals are written by moto's own serializers from botocore's models of the services: none is made up here but for its code.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
from botocore.model import OperationModel
from moto.core.exceptions import ServiceException
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model

Trouble = Callable[[Callable[[], httpx.Response]], httpx.Response | None]
"""What befalls a call, which it may pass on: an answer, or None for none."""


class Refusal(ServiceException):
    """A class of its own: moto looks its code up in the model of the service that is called."""


class Gate:
    """Passes calls on, but for those that it is told to trouble.

    :param endpoint: the server's URL
    """

    def __init__(self, endpoint: str) -> None:
        self.asked: list[str] = []
        self.bodies: dict[str, bytes] = {}
        """What was sent last, by operation, of those that it is told to trouble."""
        self._troubles: dict[tuple[str, str], Trouble] = {}
        self._client = httpx.Client(base_url=endpoint, verify=False)  # noqa: S501  on loopback, without TLS
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do(self) -> None:
                """Passes one call on, or not."""
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                operation, trouble = gate._trouble(self.command, self.path, self.headers, body)
                gate.asked.append(operation)
                gate.bodies[operation] = body

                def passed_on() -> httpx.Response:
                    return gate._client.request(self.command, self.path, headers=dict(self.headers), content=body)

                answer = trouble(passed_on) if trouble else passed_on()
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower().startswith(("content-type", "x-amz")):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PUT = do_DELETE = do  # noqa: N815  the names are those of the standard library

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def open(self) -> Iterator[Gate]:
        """Within this context it passes calls on."""
        with self._server, self._client:
            thread = Thread(target=self._server.serve_forever, args=(0.05,))
            thread.start()
            yield self
            self._server.shutdown()
            thread.join()

    @contextmanager
    def troubling(self, service: str, operation: str, trouble: Trouble) -> Iterator[None]:
        """Within this context an operation is troubled.

        :param operation: by its name in the service's API: ``PutParameter``
        """
        self._troubles[service, operation] = trouble
        yield
        del self._troubles[service, operation]

    def refusing(self, service: str, operation: str, code: str, message: str = "no\nsuch thing") -> Any:
        """Within this context an operation is refused with an error code, and nothing is done."""
        refused = refusal(service, operation, code, message)
        return self.troubling(service, operation, lambda _: refused)

    def losing_answers(self, service: str, operation: str) -> Any:
        """Within this context an operation is done, and nobody hears of it."""

        def lose(passed_on: Callable[[], httpx.Response]) -> None:
            passed_on().raise_for_status()

        return self.troubling(service, operation, lose)

    def _trouble(self, method: str, path: str, headers: Any, body: bytes) -> tuple[str, Trouble | None]:
        for (service, operation), trouble in self._troubles.items():
            if _is(operation_model(service, operation), method, path, headers, body):
                return operation, trouble
        return "", None


def refusal(service: str, operation: str, code: str, message: str) -> httpx.Response:
    """An operation's refusal."""
    return answer(service, operation, Refusal(code, message))


def answer(service: str, operation: str, result: dict[str, Any] | Refusal) -> httpx.Response:
    """An operation's answer, as moto writes it by botocore's model of the service."""
    model = operation_model(service, operation)
    serializer = get_serializer_class(service, model.service_model.protocol)(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # errors that all services share stand in the models of few
        written = serializer.serialize(result)
    return httpx.Response(written["status_code"], headers=written["headers"], content=written["body"])


def operation_model(service: str, operation: str) -> OperationModel:
    """What botocore knows of an operation."""
    model: OperationModel = get_service_model(service).operation_model(operation)
    return model


def _is(model: OperationModel, method: str, path: str, headers: Any, body: bytes) -> bool:
    """Whether this request is a call of the operation."""
    protocol = model.service_model.protocol
    if protocol == "json":
        return bool(headers.get("X-Amz-Target", "").endswith(f".{model.name}"))
    if protocol == "query":
        return f"Action={model.name}&".encode() in body
    uri = re.sub(r"\\{\w+\\\+?\}", "[^/]+", re.escape(model.http["requestUri"]))
    return method == model.http["method"] and re.fullmatch(uri, path.partition("?")[0]) is not None
