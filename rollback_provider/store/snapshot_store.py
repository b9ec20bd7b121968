"""The store itself: sealed documents and compressed, content-addressed blobs over objects."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from rollback_provider.core.base import Json
from rollback_provider.core.errors import (
    AlreadyExistsError,
    ConfigurationError,
    IntegrityError,
    NotFoundError,
    StoreError,
    StoreUnavailableError,
)
from rollback_provider.core.model import BlobRef, utcnow
from rollback_provider.store import envelope, frame
from rollback_provider.store.objects import ObjectInfo, Objects

MAX_BLOB_SIZE = 256 * 1024 * 1024
"""Bytes of content in one blob, at most. Readers refuse more, so that a forged blob cannot exhaust their memory."""
MAX_DOCUMENT_SIZE = 256 * 1024 * 1024
"""Bytes of a sealed document, at most."""
REUSE_WITHIN = timedelta(hours=24)
"""A blob older than this is renewed when the same content is put again, so that a prune at the same time does not take
it for garbage."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_BLOB = re.compile(r"blobs/([0-9a-f]{2})/(\1[0-9a-f]{62})")


@dataclass(frozen=True)
class StoredBlob:
    """A blob as the store's listing shows it.

    :param stored_size: bytes it takes in the store, compressed
    :param modified: when it was written or last put again
    """

    digest: str
    stored_size: int
    modified: datetime


class SnapshotStore:
    """Implements :class:`rollback_provider.core.repository.Store`.

    Open one with :func:`rollback_provider.store.open_store`.

    Safe to use from several threads. A process that was forked from one that used a store cannot use any: it gets a
    StoreUnavailableError. Start it with ``spawn``.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.url = objects.url

    def __repr__(self) -> str:
        return f"<SnapshotStore {self.url}>"

    def create(self, name: str, document: Json) -> None:
        """Writes a sealed document; exactly one of several writers wins. Durable when it returns.

        Raises AlreadyExistsError, StoreUnavailableError, and ConfigurationError for a bad name or what is not JSON.
        """
        self._check_name(name)
        writer = secrets.token_hex(16)
        data = envelope.seal(name, document, writer)
        if len(data) > MAX_DOCUMENT_SIZE:
            raise StoreError(f"{name} has {len(data)} bytes; a document may have {MAX_DOCUMENT_SIZE}")
        try:
            self._objects.create(name, data)
        except (AlreadyExistsError, StoreUnavailableError):
            # The answer to a write that succeeded may have been lost, and the client may have repeated it and met its
            # own object.
            if not self._wrote(name, writer):
                raise

    def read(self, name: str) -> Json:
        """Reads a document and checks its seal.

        Raises NotFoundError, FormatVersionError, IntegrityError, StoreUnavailableError, and ConfigurationError for a
        bad name.
        """
        self._check_name(name)
        return envelope.unseal(name, self._objects.get(name, limit=MAX_DOCUMENT_SIZE), url=self.url)

    def names(self, prefix: str) -> Iterator[str]:
        """Names of all documents under `prefix` (which ends in a slash; the empty one means all), sorted.

        What does not have a document's name is left out: temporary files, and whatever else lies around.
        """
        if prefix and (not prefix.endswith("/") or not envelope.is_name(prefix[:-1])):
            raise ConfigurationError(f"{prefix!r} is not a prefix of document names")
        folders, found = ([prefix], []) if prefix else self._objects.top()
        for folder in folders:
            if folder != "blobs/":
                found += [info.name for info in self._objects.scan(folder)]
        return iter(sorted(name for name in found if envelope.is_name(name)))

    def names_before(self, prefix: str, before: datetime) -> list[str]:
        """Names of the documents under `prefix` that were written before this time, sorted. For :func:`prune`."""
        return sorted(
            info.name for info in self._objects.scan(prefix) if info.modified < before and envelope.is_name(info.name)
        )

    def delete(self, name: str) -> None:
        """Removes a document; no error where it is gone already."""
        self._check_name(name)
        self._objects.delete(name)

    def put_blob(self, content: bytes) -> BlobRef:
        """Compresses and stores `content`, unless the store has it.

        Raises StoreUnavailableError, and StoreError for more than :data:`MAX_BLOB_SIZE` bytes.
        """
        self._check_size(len(content))
        digest = hashlib.sha256(content).hexdigest()
        known = self._objects.head(_blob_name(digest))
        if known and _is_fresh(known):
            return BlobRef(digest=digest, size=len(content), stored_size=known.size)
        data = frame.compress(content)
        self._put(digest, data, exists=known is not None)
        return BlobRef(digest=digest, size=len(content), stored_size=len(data))

    def put_compressed(self, ref: BlobRef, data: bytes) -> None:
        """Stores content that was compressed elsewhere, unless the store has it.

        `data` is one zstd frame that declares `ref.size`. `ref.digest` is trusted; every later read checks it. Raises
        StoreUnavailableError, StoreError, and IntegrityError for a frame that could not be read back.
        """
        self._check_size(ref.size)
        if not _DIGEST.fullmatch(ref.digest):
            raise ConfigurationError(f"{ref.digest!r} is not a sha256 digest")
        if (declared := frame.declared_size(data)) != ref.size:
            raise IntegrityError(f"Blob {ref.digest} should have {ref.size} bytes; its zstd frame declares {declared}")
        known = self._objects.head(_blob_name(ref.digest))
        if not (known and _is_fresh(known)):
            self._put(ref.digest, data, exists=known is not None)

    def get_blob(self, digest: str) -> bytes:
        """The content of this address, checked. Raises NotFoundError, IntegrityError, StoreUnavailableError."""
        if not _DIGEST.fullmatch(digest):
            raise NotFoundError(f"{digest!r} is not the address of a blob")
        name = _blob_name(digest)
        data = self._objects.get(name, limit=frame.stored_limit(MAX_BLOB_SIZE))
        try:
            content = frame.decompress(data, limit=MAX_BLOB_SIZE)
        except IntegrityError as error:
            raise IntegrityError(f"{self.url}: {name} cannot be read. {error.what}") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise IntegrityError(f"{self.url}: {name} is not what was written: its digest does not match")
        return content

    def blobs(self) -> Iterator[StoredBlob]:
        """All blobs, in no order. One listing; no content is read."""
        for info in self._objects.scan("blobs/"):
            if match := _BLOB.fullmatch(info.name):
                yield StoredBlob(match[2], info.size, info.modified)

    def delete_blob(self, digest: str, *, unless_after: datetime) -> bool:
        """Removes a blob unless it was written or put again after this time. For :func:`prune`.

        Says whether it was removed.
        """
        known = self._objects.head(_blob_name(digest))
        if known is None or known.modified > unless_after:
            return False
        self._objects.delete(_blob_name(digest))
        return True

    def free(self) -> int | None:
        """Bytes that can still be written; None where the store has no such limit. Raises StoreUnavailableError."""
        return self._objects.free()

    def remove_leftovers(self, before: datetime) -> int:
        """Removes unfinished files of writers that were killed before this time; says how many. For :func:`prune`."""
        return self._objects.remove_leftovers(before)

    def _put(self, digest: str, data: bytes, *, exists: bool) -> None:
        write = self._objects.renew if exists else self._objects.create
        with suppress(AlreadyExistsError):
            write(_blob_name(digest), data)

    def _wrote(self, name: str, writer: str) -> bool:
        try:
            return envelope.writer_of(self._objects.get(name, limit=MAX_DOCUMENT_SIZE)) == writer
        except StoreError:
            return False

    @staticmethod
    def _check_name(name: str) -> None:
        if not envelope.is_name(name):
            raise ConfigurationError(f"{name!r} cannot be the name of a document")

    @staticmethod
    def _check_size(size: int) -> None:
        if size > MAX_BLOB_SIZE:
            raise StoreError(
                f"A blob may have {MAX_BLOB_SIZE} bytes; this one has {size}", next_step="Write it in smaller blocks"
            )


def _is_fresh(info: ObjectInfo) -> bool:
    return utcnow() - info.modified < REUSE_WITHIN


def _blob_name(digest: str) -> str:
    return f"blobs/{digest[:2]}/{digest}"
