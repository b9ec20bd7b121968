"""Ends a worker at a chosen moment, from the outside: neither core nor the component knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rollback_provider.core.base import Json
from rollback_provider.core.journal import Journal
from rollback_provider.core.model import BlobRef
from rollback_provider.core.repository import Store


class KilledError(BaseException):
    """The worker is gone. Not an Exception: nothing that handles errors may handle it."""


class Fuse:
    """Counts moments and kills at the chosen one. Once it has blown, every further write is refused: a dead worker writes nothing."""

    def __init__(self, moment: int | None = None) -> None:
        self.moment = moment
        self.count = 0
        self.blown = False

    def tick(self) -> None:
        """One more moment at which the worker could die."""
        self.count += 1
        if self.blown or self.count == self.moment:
            self.blown = True
            raise KilledError


class FusedStore:
    """A store that kills before and after each write."""

    def __init__(self, store: Store, fuse: Fuse) -> None:
        self._store = store
        self._fuse = fuse
        self.url = store.url

    def create(self, name: str, document: Json) -> None:
        """Writes a document, or kills before or after it."""
        self._fuse.tick()
        self._store.create(name, document)
        self._fuse.tick()

    def put_blob(self, content: bytes) -> BlobRef:
        """Writes a blob, or kills before it."""
        self._fuse.tick()
        return self._store.put_blob(content)

    def put_compressed(self, ref: BlobRef, data: bytes) -> None:
        """Writes a blob, or kills before it."""
        self._fuse.tick()
        self._store.put_compressed(ref, data)

    def read(self, name: str) -> Json:
        """Reads a document."""
        return self._store.read(name)

    def names(self, prefix: str) -> Iterator[str]:
        """Lists documents."""
        return self._store.names(prefix)

    def delete(self, name: str) -> None:
        """Deletes a document."""
        self._store.delete(name)

    def get_blob(self, digest: str) -> bytes:
        """Reads a blob."""
        return self._store.get_blob(digest)


class FusedProgress:
    """Progress that kills whenever it is told something."""

    def __init__(self, fuse: Fuse) -> None:
        self._fuse = fuse

    def update(self, what: str, *, done: float, total: float | None = None, unit: str = "rows") -> None:
        """Kills, maybe."""
        self._fuse.tick()

    def message(self, text: str) -> None:
        """Kills, maybe."""
        self._fuse.tick()


class KeptNotes:
    """Notes of earlier attempts at a step, given to another attempt."""

    def __init__(self, journal: Journal, step: str) -> None:
        self._journal = journal
        self._notes = [*journal.notes(step)]

    def add(self, data: Json) -> None:
        """Keeps one more."""
        self._notes.append(data)

    def earlier(self) -> Sequence[Json]:
        """All that there are."""
        return list(self._notes)

    def of(self, step: str) -> Sequence[Json]:
        """Those of another step."""
        return self._journal.notes(step)
