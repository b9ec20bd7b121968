"""The store behind an Airflow connection."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rollback_provider.core.errors import ConfigurationError, StoreError
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.hooks.rollback_store import RollbackStoreHook
from tests.fix_store import S3


def connection(monkeypatch: pytest.MonkeyPatch, connection_id: str, **fields: object) -> None:
    """Defines a connection the way Airflow finds it first."""
    monkeypatch.setenv(f"AIRFLOW_CONN_{connection_id.upper()}", json.dumps(fields))


def test_the_default_connection_opens_a_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    connection(monkeypatch, "rollback_store_default", conn_type="rollback_store", host=f"file://{tmp_path}/store")
    assert RollbackStoreHook().get_conn().url == f"file://{tmp_path}/store"
    assert RollbackStoreHook().test_connection() == (
        True,
        f"The store at file://{tmp_path}/store is open; snapshots: 0",
    )


def test_a_url_opens_a_store(tmp_path: Path) -> None:
    assert RollbackStoreHook(f"file://{tmp_path}/store").get_conn().url == f"file://{tmp_path}/store"


def test_the_test_button_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    connection(monkeypatch, "broken", conn_type="rollback_store", host="file://relative")
    good, text = RollbackStoreHook("broken").test_connection()
    assert not good
    assert "relative" in text


def test_a_missing_connection_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"no connection 'nowhere'.*AIRFLOW_CONN_NOWHERE"):
        airflow_connections("nowhere")


def test_every_field_of_a_connection_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"host": "db", "port": 5433, "login": "me", "password": "secret", "schema": "shop"}
    connection(monkeypatch, "shop_db", conn_type="postgres", extra={"sslmode": "require"}, **fields)
    found = airflow_connections("shop_db")
    assert {name: getattr(found, name) for name in fields} == fields
    assert (found.type, found.extra) == ("postgres", {"sslmode": "require"})
    assert "secret" not in repr(found)


def test_an_aws_connection_opens_a_bucket(monkeypatch: pytest.MonkeyPatch, s3: S3) -> None:
    options = s3.options
    connection(
        monkeypatch,
        "aws_for_store",
        conn_type="aws",
        login=options["access_key_id"],
        password=options["secret_access_key"],
        extra={"region_name": options["region"], "endpoint_url": s3.endpoint},
    )
    bucket = s3.new_bucket()
    connection(
        monkeypatch, "bucket", conn_type="rollback_store", host=f"s3://{bucket}", extra={"aws_conn_id": "aws_for_store"}
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    hook = RollbackStoreHook("bucket")
    blob = hook.get_conn().put_blob(b"content")
    assert hook.get_conn().get_blob(blob.digest) == b"content"
    assert s3.client().list_objects_v2(Bucket=bucket)["KeyCount"] > 0


def test_a_missing_aws_connection_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    connection(
        monkeypatch, "bucket", conn_type="rollback_store", host="s3://some-bucket", extra={"aws_conn_id": "no_aws"}
    )
    with pytest.raises((ConfigurationError, StoreError), match="no_aws"):
        RollbackStoreHook("bucket").get_conn()
