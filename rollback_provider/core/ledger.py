"""The ledger: every row and value a rollback discards, merges or finds in conflict, streamed to the store.

Entries are never held in memory: they leave in blobs of JSON lines, and only counts and a small sample stay in the record.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from rollback_provider.core.base import Json
from rollback_provider.core.model import Action, BlobRef, Ledger, LedgerCount, LedgerEntry

if TYPE_CHECKING:
    from rollback_provider.core.component import BlobReader, BlobWriter

BLOCK_SIZE = 4 * 1024 * 1024
"""Bytes of JSON lines in one blob."""
SAMPLE = 20
"""Entries of each scope and action that are kept in the record itself."""


class Mark(NamedTuple):
    """The state of a ledger that is written."""

    buffer: bytes
    refs: tuple[BlobRef, ...]
    counts: Counter[tuple[str, str, Action]]
    examined: Counter[str]
    sample: tuple[LedgerEntry, ...]


class LedgerWriter:
    """Collects entries and writes them out block by block; `seal` gives the ledger."""

    def __init__(self, blobs: BlobWriter) -> None:
        self._blobs = blobs
        self._buffer = bytearray()
        self._refs: list[BlobRef] = []
        self._counts: Counter[tuple[str, str, Action]] = Counter()
        self._examined: Counter[str] = Counter()
        self._sample: list[LedgerEntry] = []

    def mark(self) -> Mark:
        """Where it stands, for `back_to`."""
        counts = (Counter(self._counts), Counter(self._examined))
        return Mark(bytes(self._buffer), tuple(self._refs), *counts, tuple(self._sample))

    def back_to(self, mark: Mark) -> None:
        """Forgets what was added since."""
        self._buffer, self._refs, self._sample = bytearray(mark.buffer), list(mark.refs), list(mark.sample)
        self._counts, self._examined = Counter(mark.counts), Counter(mark.examined)

    def add(self, entry: LedgerEntry) -> None:
        """Adds one entry."""
        where = (entry.component, entry.scope, entry.action)
        self._counts[where] += 1
        if self._counts[where] <= SAMPLE:
            self._sample.append(entry)
        self._buffer += entry.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n"
        if len(self._buffer) >= BLOCK_SIZE:
            self._flush()

    def examined(self, component: str, scope: str, rows: int) -> None:
        """Says that `rows` of `scope` were compared: a ledger without entries is a proof only together with this."""
        self._examined[f"{component}/{scope}"] += rows

    def seal(self) -> Ledger:
        """The ledger of all that was added; nothing can be added afterwards."""
        self._flush()
        return Ledger(
            counts=tuple(
                LedgerCount(component=component, scope=scope, action=action, count=count)
                for (component, scope, action), count in sorted(self._counts.items())
            ),
            examined=dict(sorted(self._examined.items())),
            sample=tuple(self._sample),
            blobs=tuple(self._refs),
        )

    def _flush(self) -> None:
        if self._buffer:
            self._refs.append(self._blobs.put_blob(bytes(self._buffer)))
            self._buffer.clear()


def read_ledger(ledger: Ledger, blobs: BlobReader) -> Iterator[Json]:
    """All entries of a sealed ledger, in order, as JSON objects. Holds one block at a time."""
    for ref in ledger.blobs:
        for line in blobs.get_blob(ref.digest).splitlines():
            yield json.loads(line)


def merge_ledgers(ledgers: Iterable[Ledger]) -> Ledger:
    """One ledger that holds the entries of all."""
    counts: Counter[tuple[str, str, Action]] = Counter()
    examined: Counter[str] = Counter()
    sample: list[LedgerEntry] = []
    blobs: list[BlobRef] = []
    for ledger in ledgers:
        counts.update({(c.component, c.scope, c.action): c.count for c in ledger.counts})
        examined.update(ledger.examined)
        sample.extend(ledger.sample)
        blobs.extend(ledger.blobs)
    return Ledger(
        counts=tuple(
            LedgerCount(component=component, scope=scope, action=action, count=count)
            for (component, scope, action), count in sorted(counts.items())
        ),
        examined=dict(sorted(examined.items())),
        sample=tuple(sample),
        blobs=tuple(blobs),
    )
