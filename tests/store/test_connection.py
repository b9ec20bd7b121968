"""A store from an Airflow connection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.store import store_from_connection
from tests.fix_store import S3

EMPTY = Connection(id="snapshots", type="rollback_store")


def test_a_file_store(tmp_path: Path) -> None:
    store = store_from_connection(replace(EMPTY, host=f"file://{tmp_path}", schema="team/a", login="", password=""))
    assert store.url == f"file://{tmp_path}/team/a"
    assert store_from_connection(replace(EMPTY, extra={"url": store.url})).url == store.url


@pytest.mark.parametrize("url_in", ["host", "extra"])
def test_an_s3_store(s3: S3, url_in: str) -> None:
    url = f"s3://{s3.new_bucket()}/prefix"
    extra = {"endpoint_url": s3.endpoint, "region_name": "us-east-1", "allow_http": "true", "session_token": ""}
    connection = replace(
        EMPTY,
        host=url if url_in == "host" else None,
        login=s3.options["access_key_id"],
        password=s3.options["secret_access_key"],
        extra=extra | ({"url": url} if url_in == "extra" else {}),
    )
    store = store_from_connection(connection)
    assert store.url == url
    store.create("snapshots/one", {})
    assert connection.password
    assert connection.password not in repr(store)


@pytest.mark.parametrize(
    ("connection", "says"),
    [
        (replace(EMPTY, type="aws", host="s3://bucket"), "has type 'aws'"),
        (EMPTY, "does not say where"),
        (replace(EMPTY, host="s3://bucket", extra={"url": "s3://other"}), "names two stores"),
        (replace(EMPTY, host="s3://bucket", extra={"endpoint": "http://127.0.0.1"}), "unknown fields: endpoint"),
        (replace(EMPTY, host="bucket"), "not a URL"),
        (replace(EMPTY, host="file:///tmp/x", password="hunter2"), "secret_access_key"),  # noqa: S106  # no password
        (replace(EMPTY, extra={"url": 5}), "does not say where"),
    ],
)
def test_what_makes_no_sense_is_refused(connection: Connection, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        store_from_connection(connection)
    assert "hunter2" not in str(caught.value)
