"""Sealed documents: created once, read back checked."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rollback_provider.core.errors import (
    AlreadyExistsError,
    ConfigurationError,
    FormatVersionError,
    IntegrityError,
    NotFoundError,
)
from rollback_provider.core.model import Snapshot
from rollback_provider.core.repository import Repository, digest_of, make_id
from rollback_provider.store import SnapshotStore
from tests.fix_store import StoreCase

BAD_NAMES = [
    "",
    "/a",
    "a/",
    "a//b",
    "../a",
    "a/../b",
    "a/.b",
    "a b",
    "a\n",
    "a#1",
    "blobs/aa",
    "é",
    "a" * 201,
    "a/" * 8 + "a",
]


def new_snapshot(migration: str) -> Snapshot:
    draft = Snapshot(id="", migration=migration, created=datetime.now(UTC), actor="tester", components=())
    return draft.model_copy(update={"id": make_id(migration, draft.created, draft.to_json())})


def test_a_document_comes_back_as_it_was(store: SnapshotStore) -> None:
    document = {"ü": ["\U0001f600", 1.5, None, True, {"10": 1, "9": 2}], "empty": {}}
    store.create("snapshots/one", document)
    assert store.read("snapshots/one") == document


def test_a_document_is_created_once(store: SnapshotStore) -> None:
    store.create("snapshots/one", {"by": 1})
    with pytest.raises(AlreadyExistsError):
        store.create("snapshots/one", {"by": 2})
    with pytest.raises(AlreadyExistsError):
        store.create("snapshots/one", {"by": 1})
    assert store.read("snapshots/one") == {"by": 1}


def test_the_envelope_is_what_the_format_says(store_case: StoreCase) -> None:
    store_case.open().create("snapshots/one", {"b": 1, "a": "ü"})
    envelope = json.loads(store_case.get("snapshots/one"))
    assert envelope.pop("writer")
    assert envelope == {
        "format": 1,
        "name": "snapshots/one",
        "digest": digest_of({"a": "ü", "b": 1}),
        "document": {"a": "ü", "b": 1},
    }


def test_names_are_sorted_and_of_one_folder(store: SnapshotStore) -> None:
    for number in (2, 10, 1):
        store.create(f"rollbacks/r/journal/{number:08d}", {})
    store.create("rollbacks/r/plan", {})
    store.create("rollbacks/r2/plan", {})
    store.put_blob(b"no document")
    assert list(store.names("rollbacks/r/journal/")) == [f"rollbacks/r/journal/{n:08d}" for n in (1, 2, 10)]
    assert [name for name in store.names("rollbacks/") if name.endswith("plan")] == [
        "rollbacks/r/plan",
        "rollbacks/r2/plan",
    ]
    assert list(store.names("nothing/")) == []
    assert len(list(store.names(""))) == 6
    assert "store" in list(store.names(""))


def test_a_deleted_document_is_gone_and_may_be_created_again(store: SnapshotStore) -> None:
    store.create("locks/a", {"n": 1})
    store.delete("locks/a")
    store.delete("locks/a")
    with pytest.raises(NotFoundError, match="locks/a"):
        store.read("locks/a")
    store.create("locks/a", {"n": 2})
    assert store.read("locks/a") == {"n": 2}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_are_refused(file_store: SnapshotStore, name: str) -> None:
    with pytest.raises(ConfigurationError):
        file_store.create(name, {})
    with pytest.raises(ConfigurationError):
        file_store.read(name)
    with pytest.raises(ConfigurationError):
        file_store.delete(name)


@pytest.mark.parametrize("prefix", ["snapshots", "/", "../", "blobs/"])
def test_bad_prefixes_are_refused(file_store: SnapshotStore, prefix: str) -> None:
    with pytest.raises(ConfigurationError):
        file_store.names(prefix)


@pytest.mark.parametrize("document", [{"when": datetime.now(UTC)}, {"half": "\ud800"}])
def test_what_is_not_json_is_refused(file_store: SnapshotStore, document: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="snapshots/one"):
        file_store.create("snapshots/one", document)
    assert list(file_store.names("snapshots/")) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"rows":1', b'"rows":2'),
        (b"}}\n", b"}"),
        (b"{", b""),
        (b'"format":1', b'"format":"1"'),
        (b'"format":1', b'"format":true'),
    ],
    ids=["changed", "cut short", "no JSON", "format as text", "format as a boolean"],
)
def test_a_tampered_document_is_noticed(store_case: StoreCase, old: bytes, new: bytes) -> None:
    store = store_case.open()
    store.create("snapshots/one", {"rows": 1})
    data = store_case.get("snapshots/one")
    assert old in data
    store_case.put("snapshots/one", data.replace(old, new, 1))
    with pytest.raises(IntegrityError, match="snapshots/one"):
        store.read("snapshots/one")


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"format":1}'])
def test_rubbish_is_no_document(file_case: StoreCase, data: bytes) -> None:
    store = file_case.open()
    file_case.put("snapshots/one", data)
    with pytest.raises(IntegrityError, match="snapshots/one"):
        store.read("snapshots/one")


def test_a_document_under_another_name_is_noticed(store_case: StoreCase) -> None:
    store = store_case.open()
    store.create("locks/a", {"rollbackId": "one"})
    store.create("locks/b", {"rollbackId": "two"})
    store_case.put("locks/b", store_case.get("locks/a"))
    with pytest.raises(IntegrityError, match="another name: 'locks/a'"):
        store.read("locks/b")


def test_a_forged_manifest_under_a_sealed_id_is_noticed(store_case: StoreCase) -> None:
    """Whoever can write to the bucket can make a valid envelope; the id still names the content that was sealed."""
    store = store_case.open()
    mine, other = new_snapshot("mine"), new_snapshot("other")
    Repository(store).save_snapshot(mine)
    forged = other.model_copy(update={"id": mine.id})
    store.delete(f"snapshots/{mine.id}")
    store.create(f"snapshots/{mine.id}", forged.to_json())
    with pytest.raises(IntegrityError, match=mine.id):
        Repository(store).snapshot(mine.id)


def test_a_newer_document_is_refused_before_anything_else(store_case: StoreCase) -> None:
    store = store_case.open()
    store_case.put("snapshots/one", b'{"format": 2, "sealed": "in some other way"}')
    with pytest.raises(FormatVersionError, match="has format 2") as caught:
        store.read("snapshots/one")
    assert "Upgrade" in str(caught.value)


def test_sixteen_threads_create_one_document(store: SnapshotStore) -> None:
    for attempt in range(5):
        barrier = threading.Barrier(16)

        def create(number: int, name: str = f"locks/{attempt}", barrier: threading.Barrier = barrier) -> int | None:
            barrier.wait()
            try:
                store.create(name, {"winner": number})
            except AlreadyExistsError:
                return None
            return number

        with ThreadPoolExecutor(16) as threads:
            winners = [number for number in threads.map(create, range(16)) if number is not None]
        assert len(winners) == 1
        assert store.read(f"locks/{attempt}") == {"winner": winners[0]}


def test_files_that_are_no_documents_are_not_listed(file_case: StoreCase, tmp_path: Path) -> None:
    store = file_case.open()
    store.create("snapshots/one", {})
    for name in ("one#123", ".one.swp", "one copy"):
        (tmp_path / "store" / "snapshots" / name).write_bytes(b"half")
    assert list(store.names("snapshots/")) == ["snapshots/one"]
