"""Connections from the environment, without Airflow."""

from __future__ import annotations

import pytest

from rollback_provider.connections import environment_connections, parse_connection
from rollback_provider.core.errors import ConfigurationError


def test_a_variable_is_found_by_the_connections_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ORDERS_DB", " postgresql://ada:p%40ss@db:5433/orders?sslmode=require\n")
    found = environment_connections()("orders_db")
    assert (found.id, found.type, found.host, found.port) == ("orders_db", "postgres", "db", 5433)
    assert (found.login, found.password, found.schema) == ("ada", "p@ss", "orders")
    assert found.extra == {"sslmode": "require"}
    assert "p@ss" not in repr(found)


@pytest.mark.parametrize("value", ["", "  "])
def test_a_missing_or_empty_variable_is_no_connection(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ORDERS_DB", value)
    with pytest.raises(ConfigurationError, match=r"no connection 'orders_db'.*Set AIRFLOW_CONN_ORDERS_DB"):
        environment_connections()("orders_db")


@pytest.mark.parametrize(
    "value",
    [
        "hunter2",
        "postgres://ada:hunter2/x@db/orders",
        "postgres://ada:hunter2@db:port/orders",
        "postgres://a@b://c://hunter2",
        "postgres://ada:hunter2@a://db",
        "postgres://ada:hunter2@[::1/orders",
        "postgres://db?__extra__=hunter2",
        "postgres://db?__extra__=[%22hunter2%22]",
        '{"password": "hunter2"',
        '{"password": "hunter2", "extra": 7}',
        '{"password": "hunter2", "extra": "[1]"}',
        '{"password": "hunter2", "port": "port"}',
        '{"password": "hunter2", "colour": "red"}',
        '{"conn_type": 5, "password": "hunter2"}',
    ],
)
def test_a_malformed_connection_is_not_shown(value: str) -> None:
    with pytest.raises(ConfigurationError, match="orders_db") as caught:
        parse_connection("orders_db", value)
    error: BaseException | None = caught.value
    assert "hunter2" not in str(error)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None
