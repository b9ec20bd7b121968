"""Connections without Airflow: ``AIRFLOW_CONN_<ID>`` variables, read the way Airflow reads them.

Nothing that is read here is shown in an error: a malformed connection may be little else than its password.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from rollback_provider.core.component import Connection, ConnectionResolver
from rollback_provider.core.errors import ConfigurationError


def environment_connections(*, airflow: bool = False) -> ConnectionResolver:
    """Finds connections in the environment.

    :param airflow: for a connection that no variable defines, import Airflow, where it is installed, and ask its secrets backends and
        metadata database
    """

    def resolve(connection_id: str) -> Connection:
        variable = f"AIRFLOW_CONN_{connection_id.upper()}"
        value = os.environ.get(variable, "").strip()
        if value:
            return parse_connection(connection_id, value)
        found = _ask_airflow(connection_id) if airflow and find_spec("airflow") else None
        if found is None:
            raise ConfigurationError(
                f"There is no connection {connection_id!r}",
                next_step=f"Set {variable} to its URI or JSON, as for Airflow",
            )
        return found

    return resolve


def parse_connection(connection_id: str, value: str) -> Connection:
    """A connection from its URI or JSON form, with Airflow's rules. Raises ConfigurationError, which does not show `value`."""
    try:
        return _from_json(connection_id, value) if value.startswith("{") else _from_uri(connection_id, value)
    except (ValueError, TypeError, AttributeError):
        raise ConfigurationError(
            f"Connection {connection_id!r} is malformed (its value is not shown)",
            next_step="Write it as JSON, or as a URI in which every special character is percent-encoded",
        ) from None


def _from_json(connection_id: str, value: str) -> Connection:
    given = json.loads(value)
    known = {"conn_type", "description", "host", "login", "password", "schema", "port", "extra"}
    if given.keys() - known:
        raise ValueError
    return _connection(
        connection_id,
        type=given.get("conn_type"),
        host=given.get("host"),
        port=int(given["port"]) if given.get("port") else None,
        login=given.get("login"),
        password=given.get("password"),
        schema=given.get("schema"),
        extra=given.get("extra"),
    )


def _from_uri(connection_id: str, uri: str) -> Connection:
    """``type://login:password@host:port/schema?extra``, in which the host may have a scheme of its own: ``type://https://host``."""
    if uri.count("://") not in {1, 2}:
        raise ValueError
    kind, _, rest = uri.partition("://")
    scheme, inner, _ = rest.partition("://")
    parts = urlsplit(rest if inner else f"//{rest}")
    if inner and ("@" in scheme or ":" in scheme):
        raise ValueError
    host = _host(parts)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return _connection(
        connection_id,
        type=kind.lower(),
        host=f"{parts.scheme}://{host}" if inner and host else host,
        port=parts.port,
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        schema=unquote(parts.path[1:]),
        extra=query.get("__extra__", query),
    )


def _host(parts: SplitResult) -> str:
    """The host, in lower case unless it is a path (a socket's directory, percent-encoded)."""
    host = unquote(parts.hostname or "")
    if "/" in host:
        host = unquote(parts.netloc.rpartition("@")[2].partition(":")[0])
    return host


def _connection(connection_id: str, *, extra: str | Mapping[str, Any] | None, **fields: Any) -> Connection:
    options = json.loads(extra) if isinstance(extra, str) and extra else dict(extra or {})
    if not isinstance(options, dict):
        raise TypeError
    kind = (fields.pop("type") or "").replace("-", "_")
    present = {name: value or None for name, value in fields.items()}
    return Connection(id=connection_id, type="postgres" if kind == "postgresql" else kind, extra=options, **present)


def _ask_airflow(connection_id: str) -> Connection | None:
    from airflow.models.connection import Connection as AirflowConnection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    try:
        found = AirflowConnection.get_connection_from_secrets(connection_id)
    except AirflowNotFoundException:
        return None
    return _connection(
        connection_id,
        type=found.conn_type,
        host=found.host,
        port=found.port,
        login=found.login,
        password=found.password,
        schema=found.schema,
        extra=found.extra_dejson,
    )
