"""Named objects of bytes over obstore: the few operations the store needs, with our errors."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import obstore
from obstore.store import LocalStore, ObjectStore

from rollback_provider.core.errors import IntegrityError, NotFoundError, StoreUnavailableError
from rollback_provider.store import local
from rollback_provider.store.failures import EXPECTED, translate

_used_by: dict[str, int] = {}
"""Id of the process that first used obstore, under ``process``."""


@dataclass(frozen=True)
class ObjectInfo:
    """What a listing tells of an object."""

    name: str
    size: int
    modified: datetime


class Objects:
    """Objects in a bucket, or in memory. All methods raise StoreUnavailableError."""

    written = "It is not known whether the object was written"
    """State after a write that failed: an answer that was lost does not undo what the server did."""

    def __init__(self, store: ObjectStore, url: str) -> None:
        self._store = store
        self.url = url

    def get(self, name: str, *, limit: int) -> bytes:
        """The object's bytes.

        Raises NotFoundError, and IntegrityError for more than `limit` bytes, which are not read.
        """
        with self._translated(f"reading {name}"):
            result = obstore.get(self._store, name)
            if (size := result.meta["size"]) > limit:
                raise IntegrityError(f"{self.url}: {name} has {size} bytes; more than {limit} are never written")
            return result.bytes().to_bytes()

    def head(self, name: str) -> ObjectInfo | None:
        """Size and age of the object; None where there is none."""
        try:
            with self._translated(f"looking for {name}"):
                meta = obstore.head(self._store, name)
        except NotFoundError:
            return None
        return ObjectInfo(name, meta["size"], meta["last_modified"])

    def create(self, name: str, data: bytes) -> None:
        """Writes a new object as a whole or not at all; of several writers exactly one wins.

        Raises AlreadyExistsError.
        """
        with self._translated(f"creating {name}", state=self.written):
            obstore.put(self._store, name, data, mode="create", use_multipart=False)

    def renew(self, name: str, data: bytes) -> None:
        """Writes an object that exists once more, with equal content, so that it counts as new."""
        with self._translated(f"writing {name}", state=self.written):
            obstore.put(self._store, name, data, use_multipart=False)

    def scan(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose names begin with `prefix`, a folder's name with its slash; in no order."""
        with self._translated(f"listing {prefix}"):
            for batch in obstore.list(self._store, prefix or None):
                for meta in batch:
                    yield ObjectInfo(meta["path"], meta["size"], meta["last_modified"])

    def top(self) -> tuple[list[str], list[str]]:
        """Names of the folders (with their slash) and of the objects at the root."""
        with self._translated("listing the store"):
            found = obstore.list_with_delimiter(self._store)
            return [f"{prefix}/" for prefix in found["common_prefixes"]], [meta["path"] for meta in found["objects"]]

    def delete(self, name: str) -> None:
        """Removes the object; no error where there is none."""
        try:
            with self._translated(f"removing {name}", state="It is not known whether the object was removed"):
                obstore.delete(self._store, name)
        except NotFoundError:
            return

    def free(self) -> int | None:
        """Bytes that can still be written; None where there is no such limit."""
        return None

    def remove_leftovers(self, before: datetime) -> int:
        """Removes what killed writers have left behind before this time; says how many objects."""
        return 0

    @contextmanager
    def _translated(self, doing: str, *, state: str = "") -> Iterator[None]:
        _refuse_after_fork(self.url)
        try:
            yield
        except EXPECTED as error:
            raise translate(error, url=self.url, doing=doing, state=state) from None


def _refuse_after_fork(url: str) -> None:
    """The threads of obstore do not survive a fork, and a call that waits for them would wait for ever."""
    if _used_by.setdefault("process", os.getpid()) != os.getpid():
        raise StoreUnavailableError(
            f"{url}: this process was forked from one that has used a store, and cannot use one itself",
            next_step="Start the process with the method spawn, or open the store only after the fork",
        )


class LocalObjects(Objects):
    """Objects as files. Writes and removals are durable when they return; obstore's are not, it never calls fsync."""

    written = "Nothing was written"

    def __init__(self, root: Path, url: str) -> None:
        super().__init__(LocalStore(root), url)
        self._root = root

    def create(self, name: str, data: bytes) -> None:
        """Writes a new file as a whole or not at all, durably; of several writers exactly one wins.

        Raises AlreadyExistsError.
        """
        with self._translated(f"creating {name}", state=self.written):
            local.create(self._root, name, data)

    def renew(self, name: str, data: bytes) -> None:
        """Sets the existing file's time to now, or writes it where it has vanished."""
        try:
            with self._translated(f"renewing {name}", state=self.written):
                local.touch(self._root, name)
        except NotFoundError:
            self.create(name, data)

    def delete(self, name: str) -> None:
        """Removes the file and folders that it leaves empty; no error where there is none."""
        with self._translated(f"removing {name}", state="It is not known whether the file was removed"):
            local.remove(self._root, name)

    def free(self) -> int:
        """Of the file system."""
        with self._translated("asking for free space"):
            return shutil.disk_usage(self._root).free

    def remove_leftovers(self, before: datetime) -> int:
        """Removes unfinished files of writers that were killed before `before`."""
        with self._translated("removing unfinished files"):
            return local.remove_unfinished(self._root, before)
