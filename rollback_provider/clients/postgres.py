"""How a connection of Airflow reaches PostgreSQL."""

from __future__ import annotations

from psycopg.conninfo import make_conninfo

from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ConfigurationError

_LIBPQ = frozenset(
    {"sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "connect_timeout", "options", "target_session_attrs"}
    | {"channel_binding", "gssencmode", "krbsrvname", "keepalives", "keepalives_idle", "keepalives_interval", "service"}
    | {"sslnegotiation", "load_balance_hosts", "hostaddr", "passfile", "require_auth"}
)


def conninfo(connection: Connection) -> str:
    """The libpq connection string.

    Holds the password: never log it. Raises ConfigurationError for another type of connection.
    """
    if connection.type not in {"postgres", "postgresql"}:
        raise ConfigurationError(
            f"Connection {connection.id!r} is of type {connection.type!r}",
            next_step="Use a connection of type postgres",
        )
    extra = {key: str(value) for key, value in connection.extra.items() if key in _LIBPQ}
    fields = {
        "host": connection.host or connection.extra.get("host"),
        "port": str(connection.port or connection.extra.get("port") or ""),
        "user": connection.login,
        "password": connection.password,
        "dbname": connection.schema,
    }
    return make_conninfo(
        "",
        **(
            {"connect_timeout": "10", "application_name": "rollback-provider"}
            | extra
            | {k: v for k, v in fields.items() if v}
        ),
    )
