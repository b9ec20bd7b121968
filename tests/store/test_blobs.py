"""Blobs: addressed by their content, one zstd frame each, checked on every read."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zstandard

from rollback_provider.core.errors import ConfigurationError, IntegrityError, NotFoundError, StoreError
from rollback_provider.core.model import BlobRef
from rollback_provider.store import MAX_BLOB_SIZE, SnapshotStore, snapshot_store
from tests.fix_store import StoreCase

CONTENT = "".join(f"order {number * 7919}\n" for number in range(1000)).encode()
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = f"blobs/{DIGEST[:2]}/{DIGEST}"


@pytest.mark.parametrize(
    "content", [b"", b"x", CONTENT, os.urandom(3_000_000)], ids=["empty", "byte", "text", "random"]
)
def test_content_comes_back(store: SnapshotStore, content: bytes) -> None:
    ref = store.put_blob(content)
    assert (ref.digest, ref.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert store.get_blob(ref.digest) == content
    assert [(blob.digest, blob.stored_size) for blob in store.blobs()] == [(ref.digest, ref.stored_size)]


def test_a_blob_is_one_zstd_frame_at_its_address(store_case: StoreCase) -> None:
    store_case.open().put_blob(CONTENT)
    data = store_case.get(NAME)
    assert len(data) < len(CONTENT)
    assert zstandard.get_frame_parameters(data).content_size == len(CONTENT)
    assert zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False) == CONTENT


def test_the_same_content_is_written_once(store_case: StoreCase) -> None:
    store = store_case.open()
    store.put_compressed(
        BlobRef(digest=DIGEST, size=len(CONTENT), stored_size=0),
        first := zstandard.ZstdCompressor(level=19).compress(CONTENT),
    )
    assert zstandard.ZstdCompressor(level=3).compress(CONTENT) != first
    assert store.put_blob(CONTENT).stored_size == len(first)
    assert store_case.get(NAME) == first


def test_an_old_blob_is_renewed_when_put_again(file_case: StoreCase, tmp_path: Path) -> None:
    """Otherwise a prune that runs now could take it for garbage before the new snapshot is sealed."""
    store = file_case.open()
    store.put_blob(CONTENT)
    old = (datetime.now(UTC) - timedelta(days=30)).timestamp()
    os.utime(tmp_path / "store" / NAME, (old, old))
    store.put_blob(CONTENT)
    (blob,) = store.blobs()
    assert datetime.now(UTC) - blob.modified < timedelta(minutes=1)


def test_an_old_blob_in_a_bucket_is_written_once_more(s3_case: StoreCase, monkeypatch: pytest.MonkeyPatch) -> None:
    store = s3_case.open()
    first = zstandard.ZstdCompressor(level=19).compress(CONTENT)
    store.put_compressed(BlobRef(digest=DIGEST, size=len(CONTENT), stored_size=0), first)
    monkeypatch.setattr(snapshot_store, "REUSE_WITHIN", timedelta(seconds=-60))
    store.put_blob(CONTENT)
    assert s3_case.get(NAME) != first
    assert store.get_blob(DIGEST) == CONTENT


def damaged(change: str) -> bytes:
    good = zstandard.ZstdCompressor().compress(CONTENT)
    return {
        "other content": zstandard.ZstdCompressor().compress(CONTENT + b"x"),
        "same size": zstandard.ZstdCompressor().compress(b"X" + CONTENT[1:]),
        "cut short": good[:-5],
        "empty": b"",
        "not compressed": CONTENT,
        "more behind it": good + b"x",
        "second frame": good + good,
        "flipped bit": good[:-8] + bytes([good[-8] ^ 1]) + good[-7:],
    }[change]


@pytest.mark.parametrize(
    "change",
    [
        "other content",
        "same size",
        "cut short",
        "empty",
        "not compressed",
        "more behind it",
        "second frame",
        "flipped bit",
    ],
)
def test_a_damaged_blob_is_noticed(file_case: StoreCase, change: str) -> None:
    store = file_case.open()
    store.put_blob(CONTENT)
    file_case.put(NAME, damaged(change))
    with pytest.raises(IntegrityError, match=DIGEST):
        store.get_blob(DIGEST)


def test_a_tampered_and_a_truncated_blob_are_noticed_everywhere(store_case: StoreCase) -> None:
    store = store_case.open()
    store.put_blob(CONTENT)
    for change in ("same size", "cut short"):
        store_case.put(NAME, damaged(change))
        with pytest.raises(IntegrityError, match=DIGEST):
            store.get_blob(DIGEST)


def test_a_zip_bomb_is_not_unpacked(file_case: StoreCase) -> None:
    """A frame that declares more than any blob has, and one that holds more than it declares."""
    store = file_case.open()
    chunk, compressor = bytes(1024 * 1024), zstandard.ZstdCompressor().compressobj(size=MAX_BLOB_SIZE + 1024 * 1024)
    bomb = b"".join(compressor.compress(chunk) for _ in range(257)) + compressor.flush()
    assert len(bomb) < 100_000
    file_case.put(NAME, bomb)
    with pytest.raises(IntegrityError, match=f"declares {MAX_BLOB_SIZE + 1024 * 1024} bytes"):
        store.get_blob(DIGEST)
    undeclared = zstandard.ZstdCompressor(write_content_size=False).compress(chunk)
    file_case.put(NAME, undeclared)
    with pytest.raises(IntegrityError, match="does not declare"):
        store.get_blob(DIGEST)


def test_an_object_that_is_too_large_is_not_read(file_case: StoreCase, tmp_path: Path) -> None:
    store = file_case.open()
    file_case.put(NAME, b"")
    os.truncate(tmp_path / "store" / NAME, 2 * MAX_BLOB_SIZE)
    with pytest.raises(IntegrityError, match="are never written"):
        store.get_blob(DIGEST)


def test_a_frame_that_could_not_be_read_back_is_refused(store: SnapshotStore) -> None:
    ref = BlobRef(digest=DIGEST, size=len(CONTENT), stored_size=0)
    for frame in (zstandard.ZstdCompressor().compress(CONTENT[1:]), CONTENT, zstandard.ZstdCompressor().compress(b"")):
        with pytest.raises(IntegrityError):
            store.put_compressed(ref, frame)
    with pytest.raises(ConfigurationError):
        store.put_compressed(ref.model_copy(update={"digest": "../../etc/passwd"}), b"")
    with pytest.raises(StoreError, match="may have"):
        store.put_compressed(ref.model_copy(update={"size": MAX_BLOB_SIZE + 1}), b"")
    assert list(store.blobs()) == []


@pytest.mark.parametrize("digest", ["0" * 64, "../store", "", DIGEST.upper()])
def test_an_unknown_blob_is_not_found(store: SnapshotStore, digest: str) -> None:
    with pytest.raises(NotFoundError):
        store.get_blob(digest)
