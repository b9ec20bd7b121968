"""Opening a store: addresses, the format marker, the probe, and what goes wrong."""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rollback_provider.core.errors import (
    ConfigurationError,
    FormatVersionError,
    IntegrityError,
    StoreError,
    StoreUnavailableError,
)
from rollback_provider.store import open_store
from tests.fix_store import S3, StoreCase

CREDENTIAL = "AKIASECRET"


def test_a_store_is_made_on_first_opening_and_found_again(store_case: StoreCase) -> None:
    store_case.open().create("snapshots/one", {"n": 1})
    marker = store_case.get("store")
    again = store_case.open()
    assert again.read("snapshots/one") == {"n": 1}
    assert store_case.get("store") == marker
    assert json.loads(marker)["format"] == 1
    assert sorted(again.names("")) == ["snapshots/one", "store"]


def test_many_open_a_new_store_at_once(store_case: StoreCase) -> None:
    with ThreadPoolExecutor(8) as threads:
        stores = list(threads.map(lambda _: store_case.open(), range(8)))
    stores[0].create("snapshots/one", {})
    assert all(list(store.names("")) == ["snapshots/one", "store"] for store in stores)


def test_a_newer_store_is_refused_before_anything_else(store_case: StoreCase) -> None:
    store_case.put("store", b'{"format": 7, "everything": "else is different"}')
    with pytest.raises(FormatVersionError, match="has format 7") as caught:
        store_case.open()
    assert "Upgrade" in str(caught.value)


@pytest.mark.parametrize("marker", [b"", b"{}", b'{"format":1}'])
def test_a_damaged_marker_is_refused(file_case: StoreCase, marker: bytes) -> None:
    file_case.put("store", marker)
    with pytest.raises(IntegrityError, match="store"):
        file_case.open()


def test_opening_an_existing_store_writes_nothing(s3_case: StoreCase, s3: S3) -> None:
    s3_case.open()
    bucket = s3_case.url.split("/")[2]
    client = s3.client()
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3_case.open()
    assert [version["VersionId"] for version in client.list_object_versions(Bucket=bucket)["Versions"]] == ["null"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("/var/store", "not a URL"),
        ("store", "not a URL"),
        ("", "not a URL"),
        ("file://store", "relative"),
        ("file://./store", "relative"),
        ("file:///", "root directory"),
        ("file:///..", "root directory"),
        ("gs://bucket/prefix", "Unknown kind of store: gs://"),
        ("s3://", "name of a bucket"),
        ("s3:///prefix", "name of a bucket"),
        ("s3://Bucket_", "name of a bucket"),
        ("s3://bucket/a//b", "prefix of a store"),
        ("s3://bucket/../b", "prefix of a store"),
        ("memory://", "has no name"),
        ("s3://[bucket", "malformed"),
    ],
)
def test_a_bad_address_is_refused(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        open_store(url)
    assert caught.value.next_step


@pytest.mark.parametrize(
    "url",
    [
        f"s3://{CREDENTIAL}:{CREDENTIAL}@bucket/prefix",
        f"s3://bucket/prefix?access_key_id={CREDENTIAL}",
        f"file://{CREDENTIAL}@/x#{CREDENTIAL}",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    assert CREDENTIAL not in str(caught.value)


def test_unknown_options_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="colour") as caught:
        open_store("s3://bucket/prefix", {"colour": CREDENTIAL})
    assert CREDENTIAL not in str(caught.value)
    with pytest.raises(ConfigurationError, match="region"):
        open_store(f"file://{tmp_path}", {"region": "eu-central-1"})
    with pytest.raises(ConfigurationError, match="allow_http"):
        open_store("s3://bucket/prefix", {"allow_http": "perhaps"})


def test_a_path_may_hold_spaces_and_percent_signs(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/a%20b%25/%C3%BC")
    store.create("snapshots/one", {})
    assert (tmp_path / "a b%" / "ü" / "snapshots" / "one").is_file()
    assert open_store(store.url).read("snapshots/one") == {}


def test_a_new_directory_is_its_owners_alone(tmp_path: Path) -> None:
    open_store(f"file://{tmp_path}/new")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o770)
    open_store(f"file://{shared}")
    assert stat.S_IMODE(shared.stat().st_mode) == 0o770


def test_a_store_below_a_file_is_unavailable(tmp_path: Path) -> None:
    """No user can write there, root included."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailableError, match=r"Not a directory|File exists"):
        open_store(f"file://{tmp_path}/file/store")
    with pytest.raises(StoreUnavailableError):
        open_store(f"file://{tmp_path}/file")


def test_a_directory_that_cannot_be_written_is_unavailable() -> None:
    """The process table of Linux: it takes no files, whoever asks."""
    with pytest.raises(StoreUnavailableError, match="/proc/self/fdinfo"):
        open_store("file:///proc/self/fdinfo")


def test_memory_stores_of_one_name_are_one() -> None:
    open_store("memory://shared-by-name").create("snapshots/one", {})
    assert list(open_store("memory://shared-by-name").names("snapshots/")) == ["snapshots/one"]
    assert list(open_store("memory://another-name").names("snapshots/")) == []


def test_a_missing_bucket_is_named(s3: S3) -> None:
    with pytest.raises(StoreUnavailableError, match=r"s3://no-such-bucket/prefix.*the bucket does not exist"):
        open_store("s3://no-such-bucket/prefix", s3.options)


def test_credentials_come_from_the_environment(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"endpoint": "AWS_ENDPOINT_URL", "region": "AWS_DEFAULT_REGION"}
    for name, value in s3.options.items():
        monkeypatch.setenv(names.get(name, f"AWS_{name.upper()}"), value)
    store = open_store(f"s3://{s3.new_bucket()}")
    store.create("snapshots/one", {})
    assert list(store.names("snapshots/")) == ["snapshots/one"]


def test_plain_http_can_be_forbidden(s3: S3) -> None:
    with pytest.raises(StoreUnavailableError, match="plain http, which is not allowed"):
        open_store(f"s3://{s3.new_bucket()}", s3.options | {"allow_http": "false"})


def test_an_endpoint_that_refuses_connections_is_one_clear_error(s3: S3) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="s3://bucket/prefix") as caught:
        open_store("s3://bucket/prefix", s3.options | {"endpoint": f"http://127.0.0.1:{port}"})
    assert time.monotonic() - started < 15
    assert "Connection refused" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_endpoint_that_never_answers_is_one_clear_error(s3: S3) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="s3://bucket/prefix"):
            open_store("s3://bucket/prefix", s3.options | {"endpoint": f"http://127.0.0.1:{silent.getsockname()[1]}"})
        assert time.monotonic() - started < 15


def test_wrong_credentials_are_one_clear_error(rclone: S3, tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    with pytest.raises(StoreUnavailableError, match=r"credentials are refused .*InvalidAccessKeyId") as caught:
        open_store(
            "s3://bucket/prefix", rclone.options | {"access_key_id": "AKIAWRONGWRONG", "secret_access_key": CREDENTIAL}
        )
    assert CREDENTIAL not in str(caught.value)
    assert "AKIAWRONGWRONG" not in str(caught.value)
    assert not list((tmp_path / "bucket").iterdir())


def test_a_service_that_ignores_conditions_is_refused(rclone: S3, tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    with pytest.raises(StoreError, match="ignores conditional writes"):
        open_store("s3://bucket/prefix", rclone.options)
    left = [name for _, _, files in os.walk(tmp_path / "bucket") for name in files]
    assert left == []
