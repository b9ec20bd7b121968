"""Airflow's connections, as components and the store see them."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import AirflowException
from airflow.sdk import BaseHook

from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ConfigurationError


def airflow_connections(connection_id: str) -> Connection:
    """Looks a connection up the way Airflow does: secrets backends, ``AIRFLOW_CONN_…``, the metadata database.

    Raises ConfigurationError where there is none of this id, or its extra is not a JSON object.
    """
    try:
        found = BaseHook.get_connection(connection_id)
    except AirflowException as error:
        raise ConfigurationError(
            f"Airflow has no connection {connection_id!r}",
            next_step=f"Add it under Admin, Connections, or set AIRFLOW_CONN_{connection_id.upper()}",
        ) from error
    extra = found.extra_dejson
    if not isinstance(extra, dict):
        raise ConfigurationError(
            f"The extra of connection {connection_id!r} is not a JSON object",
            next_step="Correct it under Admin, Connections",
        )
    return Connection(
        id=connection_id,
        type=found.conn_type or "",
        host=found.host,
        port=found.port,
        login=found.login,
        password=found.password,
        schema=found.schema,
        extra=extra,
    )
