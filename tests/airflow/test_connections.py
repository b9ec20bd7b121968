"""Connections are read from the environment as Airflow reads them."""

from __future__ import annotations

import json

import pytest
from airflow.models.connection import Connection as StoredConnection
from airflow.sdk import Connection as AirflowConnection
from airflow.utils.session import create_session

from rollback_provider.connections import environment_connections, parse_connection
from rollback_provider.core.errors import ConfigurationError

VALUES = (
    "postgres://user:secret@db.example.com:5432/orders",
    "postgresql://user:p%40ss%2Fword%3A@DB.Example.com/orders%20old?sslmode=require&connect_timeout=10",
    "postgres://user@%2Fvar%2Frun%2FPostgreSQL/orders",
    "postgres://user:x@%2Fvar%2Frun:5433/orders",
    "postgres:///orders?host=%2Ftmp%2Fpg",
    "postgres://:onlypassword@host",
    "postgres://user:@host/",
    "postgres://user:pass@[::1]:5432/orders",
    "postgres://host?__extra__=%7B%22options%22%3A+%7B%22a%22%3A+1%7D%2C+%22flag%22%3A+true%7D",
    "rollback-store://?url=s3%3A%2F%2Fbucket%2Fprefix&region=eu-central-1",
    "google-cloud-platform://?blank=",
    "http://https://api.example.com:8443/path",
    "http://https://user:pw@api.example.com/",
    "aws://AKIA%2FX:se%2Bcret%2F@/?region_name=eu-west-1",
    json.dumps(
        {"conn_type": "postgresql", "host": "Db", "login": "u", "password": "p:@/", "schema": "s", "port": "5432"}
    ),
    json.dumps({"conn_type": "rollback-store", "extra": {"url": "s3://bucket", "nested": {"a": [1, 2]}}}),
    json.dumps({"conn_type": "aws", "extra": '{"region_name": "eu-west-1"}', "port": 0, "description": "d"}),
)


def test_a_connection_reads_as_airflow_reads_it() -> None:
    for value in VALUES:
        ours = parse_connection("orders_db", value)
        theirs = (
            AirflowConnection.from_json(value, conn_id="orders_db")
            if value.startswith("{")
            else AirflowConnection.from_uri(value, conn_id="orders_db")
        )
        fields = ("host", "port", "login", "password", "schema")
        assert {name: getattr(ours, name) for name in fields} == {
            name: getattr(theirs, name) or None for name in fields
        }, value
        assert (ours.type, ours.extra) == (theirs.conn_type, theirs.extra_dejson), value


@pytest.mark.usefixtures("airflow_database")
def test_airflow_is_asked_for_what_the_environment_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    with create_session() as session:
        session.add(
            StoredConnection(
                conn_id="in_airflow", conn_type="postgres", host="db", login="ada", extra='{"sslmode": "require"}'
            )
        )
    found = environment_connections(airflow=True)("in_airflow")
    assert (found.type, found.host, found.login, found.extra) == ("postgres", "db", "ada", {"sslmode": "require"})
    with pytest.raises(ConfigurationError, match="Set AIRFLOW_CONN_IN_AIRFLOW to its URI"):
        environment_connections()("in_airflow")
    with pytest.raises(ConfigurationError, match="There is no connection 'nowhere'"):
        environment_connections(airflow=True)("nowhere")
    monkeypatch.setenv("AIRFLOW_CONN_IN_AIRFLOW", "postgres://environment")
    assert environment_connections(airflow=True)("in_airflow").host == "environment"
