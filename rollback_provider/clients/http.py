"""Speaks HTTP and JSON with the server of a connection."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from ssl import SSLContext
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ComponentUnavailableError, PermissionDeniedError, StepFailedError

_TIMEOUT = httpx.Timeout(10.0, connect=3.0)
_TRIES = 3
_SAID = 300
"""Characters of a server's answer that an error shows."""


class Api:
    """The HTTP interface of one server. Reading is tried three times, writing once.

    :param component: the component's name, for errors
    :param connection: ``host`` may hold a scheme; otherwise ``schema`` is one, or ``http`` is meant
    :param headers: sent with each request, credentials among them
    """

    def __init__(
        self,
        component: str,
        connection: Connection,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._component = component
        self._client = httpx.Client(
            base_url=base_url(connection),
            headers=headers,
            auth=auth,
            timeout=_TIMEOUT,
            transport=transport,
            verify=authorities(),
        )

    def get(self, path: str, *, accept: Collection[int] = (), **options: Any) -> httpx.Response:
        """Reads. See `send` for what it raises."""
        for attempt in Retrying(
            retry=retry_if_exception_type(ComponentUnavailableError),
            stop=stop_after_attempt(_TRIES),
            wait=wait_exponential(0.1, max=1),
            reraise=True,
        ):
            with attempt:
                return self.send("GET", path, accept=accept, **options)
        raise AssertionError("unreachable")

    def send(self, method: str, path: str, *, accept: Collection[int] = (), **options: Any) -> httpx.Response:
        """Sends one request and gives the answer.

        :param accept: status codes beyond 2xx that the caller understands

        Raises ComponentUnavailableError where there is no answer or the server is broken, PermissionDeniedError for 401 and 403, and
        StepFailedError with the server's words for what else it refuses. After ComponentUnavailableError a write may have happened.
        """
        try:
            response = self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise ComponentUnavailableError(
                f"{self._client.base_url.host} gives no answer ({type(error).__name__})", component=self._component
            ) from error
        if response.is_success or response.status_code in accept:
            return response
        what = f"{method} {path} was answered {response.status_code}"
        if response.status_code in {401, 403}:
            raise PermissionDeniedError(
                what,
                component=self._component,
                next_step="Give the connection's credentials the rights this kind needs",
            )
        if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise ComponentUnavailableError(what, component=self._component)
        raise StepFailedError(f"{what}: {' '.join(response.text.split())[:_SAID]}", component=self._component)

    def close(self) -> None:
        """Closes the connection. It must not be used afterwards."""
        self._client.close()


def base_url(connection: Connection) -> str:
    """The server's address, without credentials: ``https://lb.example.org:8080``."""
    host = connection.host or "localhost"
    scheme, separator, name = host.partition("://")
    if not separator:
        scheme, name = connection.schema or "http", host
    return f"{scheme}://{name}{f':{connection.port}' if connection.port else ''}"


@cache  # reading them takes 40 ms, and a rollback makes many clients
def authorities() -> SSLContext:
    """Whom to trust with HTTPS."""
    return httpx.create_ssl_context()
