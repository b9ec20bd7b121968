"""Asks an HTTP server."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx

from rollback_provider.clients.http import authorities, base_url
from rollback_provider.core.component import Connection
from rollback_provider.probes.declared import HttpProbe
from rollback_provider.probes.json_path import follow, parse_path
from rollback_provider.probes.measuring import UnknownError

LIMIT = 1_000_000
"""Bytes of an answer that are read."""
_NO_HEADERS = frozenset(
    {"allow_redirects", "cert", "check_response", "max_redirects", "proxies", "proxy", "stream", "timeout", "trust_env"}
    | {"verify"}
)
"""Entries of an ``http`` connection's extra that Airflow's own hook does not send as headers."""


async def ask(probe: HttpProbe, connection: Connection) -> tuple[Any, float]:
    """The number, and the seconds the answer took. Raises UnknownError, TimeoutError."""
    status, body, seconds = await get(connection, probe.path, within=probe.timeout)
    success = 200 <= status < 300
    if probe.contains is not None:
        return success and probe.contains in body.decode(errors="replace"), seconds
    if probe.json_path is None and not probe.latency:
        return status, seconds
    if not success:
        raise UnknownError(f"the answer is {status}")
    return (seconds if probe.latency else _at(body, str(probe.json_path))), seconds


async def get(
    connection: Connection, path: str, params: dict[str, str] | None = None, *, within: float
) -> tuple[int, bytes, float]:
    """Sends one GET request; gives status, body and the seconds until both were there. Raises UnknownError, TimeoutError."""
    headers = {key: value for key, value in connection.extra.items() if key not in _NO_HEADERS}
    begun = time.monotonic()
    try:
        async with (
            asyncio.timeout(within),
            httpx.AsyncClient(
                base_url=base_url(connection),
                auth=(connection.login, connection.password or "") if connection.login else None,
                headers={key: str(value) for key, value in headers.items()},
                verify=authorities(),
                timeout=None,  # noqa: S113  the whole question has a limit
            ) as client,
            client.stream("GET", path, params=params) as response,
        ):
            body = b""
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > LIMIT:
                    raise UnknownError(f"the answer is longer than {LIMIT // 1_000_000} MB")
            return response.status_code, body, time.monotonic() - begun
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # their texts may hold the address, or a header
        raise UnknownError(f"the server gives no answer ({type(error).__name__})") from None


def _at(body: bytes, path: str) -> Any:
    try:
        return follow(json.loads(body), parse_path(path))
    except ValueError:
        raise UnknownError("the answer is not JSON") from None
    except LookupError:
        raise UnknownError(f"the answer has nothing at {path}") from None
