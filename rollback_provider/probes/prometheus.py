"""Asks Prometheus, or what speaks its HTTP API."""

from __future__ import annotations

import json
from typing import Any

from rollback_provider.core.component import Connection
from rollback_provider.probes.declared import PrometheusProbe
from rollback_provider.probes.http import get
from rollback_provider.probes.measuring import UnknownError

_SAID = 300
"""Characters of Prometheus's words that a reason shows."""


async def ask(probe: PrometheusProbe, connection: Connection) -> tuple[Any, float]:
    """The number, and the seconds the answer took. Raises UnknownError, TimeoutError."""
    status, body, seconds = await get(
        connection,
        "/api/v1/query",
        {"query": probe.query, "timeout": f"{round(probe.timeout * 1000)}ms"},
        within=probe.timeout,
    )
    try:
        answer = json.loads(body)
        if answer["status"] != "success":
            raise UnknownError(f"Prometheus refuses the query: {answer['error'][:_SAID]}")
        return _number(answer["data"]["resultType"], answer["data"]["result"]), seconds
    except (ValueError, TypeError, LookupError):
        raise UnknownError(f"the answer is {status}, and not one of Prometheus") from None


def _number(kind: str, result: Any) -> float:
    if kind == "vector":
        if len(result) != 1:
            raise UnknownError(
                f"the query gives {len(result)} series, not one" if result else "there is no such series"
            )
        return float(result[0]["value"][1])
    if kind == "scalar":
        return float(result[1])
    raise UnknownError(f"the query gives a {kind}, not a number")
