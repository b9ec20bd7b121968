"""Opens the store that an Airflow connection of type ``rollback_store`` describes.

========  ===================================================================================================
field     holds
========  ===================================================================================================
host      the store's URL: ``file:///absolute/path``, ``s3://bucket/prefix``; or the extra ``url``
schema    a folder below that URL; may be empty
login     access key id; may be empty
password  secret access key; may be empty
extra     ``url``, ``endpoint_url``, ``region_name``, ``session_token``, ``allow_http``,
          ``virtual_hosted_style_request``
========  ===================================================================================================
"""

from __future__ import annotations

from typing import Any

from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.store.opening import open_store
from rollback_provider.store.snapshot_store import SnapshotStore

CONNECTION_TYPE = "rollback_store"

EXTRAS = {
    "endpoint_url": "endpoint",
    "region_name": "region",
    "session_token": "session_token",
    "allow_http": "allow_http",
    "virtual_hosted_style_request": "virtual_hosted_style_request",
}
"""Fields of the connection's extra, and the option of :func:`open_store` that each becomes."""


def store_from_connection(connection: Connection) -> SnapshotStore:
    """Opens the store. Empty fields count as not given. Raises what :func:`open_store` raises."""
    if connection.type.replace("-", "_") != CONNECTION_TYPE:
        raise ConfigurationError(
            f"Connection {connection.id!r} has type {connection.type!r}, not {CONNECTION_TYPE!r}",
            next_step=f"Name a connection of type {CONNECTION_TYPE}",
        )
    extra = {key: value for key, value in connection.extra.items() if value not in (None, "")}
    url = _url(connection, extra.pop("url", None))
    if unknown := sorted(set(extra) - set(EXTRAS)):
        raise ConfigurationError(
            f"The extra of connection {connection.id!r} has unknown fields: {', '.join(unknown)}",
            next_step=f"It takes url, {', '.join(EXTRAS)}",
        )
    options: dict[str, Any] = {EXTRAS[key]: value for key, value in extra.items()}
    if connection.login:
        options["access_key_id"] = connection.login
    if connection.password:
        options["secret_access_key"] = connection.password
    return open_store(url, options)


def _url(connection: Connection, extra_url: Any) -> str:
    if extra_url and connection.host and extra_url != connection.host:
        raise ConfigurationError(
            f"Connection {connection.id!r} names two stores, in its host and in its extra",
            next_step="Leave one of them empty",
        )
    url = connection.host or extra_url
    if not isinstance(url, str):
        raise ConfigurationError(
            f"Connection {connection.id!r} does not say where the store is",
            next_step="Write the URL, file:///absolute/path or s3://bucket/prefix, into its host",
        )
    return f"{url.rstrip('/')}/{connection.schema.strip('/')}" if connection.schema else url
