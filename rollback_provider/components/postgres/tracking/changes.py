"""What a tracked migration changed, table by table: from the log where it tells, else all that has changed, to be listed as ambiguous."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from tempfile import TemporaryFile
from typing import IO
from zlib import crc32

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.delta import order_of, written_alike
from rollback_provider.components.postgres.images import TableDelta
from rollback_provider.components.postgres.lines import IN_MEMORY, blocks_of
from rollback_provider.components.postgres.reversal import TableChange
from rollback_provider.components.postgres.rows import NULL, key_of, texts
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Table
from rollback_provider.components.postgres.tracking.log import Row, Write, count_of, is_marked, writes_of
from rollback_provider.components.postgres.tracking.replay import Contested, Replay
from rollback_provider.components.postgres.tracking.triggers import INTACT, Tracked
from rollback_provider.core.component import Blobs
from rollback_provider.core.model import Action, LedgerEntry

_NONE = b"\x01"
"""In the place of a row that is not there; no line of COPY text begins so."""


@dataclass
class TableChanges:
    """What became of the rows of one table.

    :param without: laid over the rows of the beginning, the rows as they would be without the migration; None where they are those
    :param left: what the migration changed of them, as it left it
    :param contested: values that an application wrote between two writes of the migration
    """

    without: TableDelta | None
    left: TableDelta | None
    contested: list[LedgerEntry] = field(default_factory=list)


def untold(session: Session, change: TableChange, tracked: Tracked | None) -> str | None:
    """Why the log does not tell what the migration changed in a table that is still there; None where it does."""
    if tracked is None:
        return "it was not tracked"
    if tracked.ended != INTACT:
        return str(tracked.ended)
    retyped = [
        column.name
        for column in change.then.stored_columns
        if (now := change.now.column(change.columns.get(column.number) or 0))
        and not written_alike(column.type, now.type)
        and column.type != now.type
    ]
    if retyped:
        return f"the migration has rewritten all values of {', '.join(retyped)}"
    if order_of(change) is None and is_marked(session, change.then.oid):
        return "its rows cannot be told apart by a key"
    return None


class LogReader:
    """Makes deltas of the log.

    :param base: the rows at the beginning
    :param caught_up: deltas that made them of the snapshot's
    :param snapshot: of the database, at the beginning
    """

    def __init__(
        self,
        component: str,
        session: Session,
        base: Base,
        caught_up: dict[int, TableDelta],
        snapshot: str,
        blobs: Blobs,
    ) -> None:
        self._component = component
        self._session = session
        self._base = base
        self._caught_up = caught_up
        self._snapshot = snapshot
        self._blobs = blobs

    def read(self, then: Table, change: TableChange | None) -> TableChanges:
        """What became of the rows of a table.

        :param then: as it was; it has a key
        :param change: what it is now; None where it is gone
        """
        over: dict[bytes, bytes | None] = {}
        changed: list[bytes] = []
        deleted: list[bytes] = []
        contested: list[LedgerEntry] = []
        order = order_of(change) if change else None
        numbers = [column.number for column in order or ()]
        stored = [column.number for column in then.stored_columns]
        for key, row in self._rows(then):
            over[key] = None if row.without is None else _line(row.without, stored)
            contested += [self._entry(then, key, each) for each in row.contested]
            if not row.marked:
                continue
            if row.left is not None:
                changed.append(_line(row.left, numbers))
            elif row.without is not None:
                deleted.append(key)
        if not over:
            return TableChanges(self._caught_up.get(then.oid), None)
        left = None
        if change and (changed or deleted):
            left = TableDelta(
                then=then.oid,
                now=change.now,
                order=tuple(numbers),
                changed=blocks_of(changed, self._blobs),
                deleted=blocks_of(deleted, self._blobs),
                rows=0,
                rewritten=False,
                keyed=True,
                xmin=None,
            )
        return TableChanges(self._laid_over(then, over), left, contested)

    def _rows(self, then: Table) -> Iterator[tuple[bytes, Replay]]:
        """Rows that were written, by key, as many at a time as may be in memory."""
        key = [column.number for column in then.key_columns]
        parts = count_of(self._session, then.oid) // IN_MEMORY + 1
        with ExitStack() as stack:
            files = [stack.enter_context(TemporaryFile()) for _ in range(parts)]
            for write in writes_of(self._session, then.oid, self._snapshot):
                for at, part in _by_key(write, key):
                    files[crc32(at) % parts].write(_packed(at, part))
            for file in files:
                file.seek(0)
                yield from self._replayed(then, file)

    def _replayed(self, then: Table, file: IO[bytes]) -> Iterator[tuple[bytes, Replay]]:
        waiting: dict[bytes, list[Write]] = {}
        for line in file:
            key, write = _unpacked(line)
            waiting.setdefault(key, []).append(write)
        numbers = [column.number for column in then.stored_columns]
        found = dict(self._base.find(then.oid, waiting)) if waiting else {}
        for key, writes in waiting.items():
            stored = found.get(key)
            before = None if stored is None else dict(zip(numbers, stored.split(b"\t"), strict=True))
            replay = Replay(before, before)
            for write in writes:
                replay.write(write)
            yield key, replay

    def _laid_over(self, then: Table, over: dict[bytes, bytes | None]) -> TableDelta:
        """The delta of the beginning, with these rows in it in the place of what it says of them."""
        earlier = self._caught_up.get(then.oid)
        if earlier and earlier.rewritten:
            kept = [
                line
                for lines in self._base.lines(then.oid)
                for line in lines
                if key_of(line, len(then.key)) not in over
            ]
        else:
            before = self._base.overlay(then.oid)
            kept = [line for key, line in before.items() if line is not None and key not in over]
            over |= {key: None for key, line in before.items() if key not in over and line is None}
        gone = [key for key, line in over.items() if line is None]
        delta = TableDelta(
            then=then.oid,
            now=then,
            order=tuple(column.number for column in then.stored_columns),
            changed=blocks_of((*kept, *filter(None, over.values())), self._blobs),
            deleted=blocks_of(gone, self._blobs),
            rows=0,
            rewritten=False,
            keyed=True,
            xmin=None,
        )
        return replace(earlier, changed=delta.changed) if earlier and earlier.rewritten else delta

    def _entry(self, then: Table, key: bytes, contested: Contested) -> LedgerEntry:
        names = {column.number: column.name for column in then.columns}

        def shown(row: Row | None) -> dict[str, str | None] | None:
            known = [number for number in row or () if number in names]
            return None if row is None else texts([names[n] for n in known], [row[n] for n in known])

        return LedgerEntry(
            component=self._component,
            scope=then.scope,
            action=Action.CONFLICT_RESTORED if contested.lost else Action.CONFLICT_KEPT,
            key=texts([column.name for column in then.key_columns], key.split(b"\t")),
            before=shown(contested.before),
            migrated=shown(contested.migrated),
            now=shown(contested.now),
            reason="an application wrote this while the migration was running, which then wrote the row again",
        )


def entries_of(digests: Sequence[str], blobs: Blobs) -> Iterator[LedgerEntry]:
    """Ledger entries that a checkpoint has kept."""
    for digest in digests:
        for line in blobs.get_blob(digest).splitlines():
            yield LedgerEntry.model_validate_json(line)


def _by_key(write: Write, key: Sequence[int]) -> Iterator[tuple[bytes, Write]]:
    """A write of a row; one that changes the key is of two rows."""
    old, new = (None if row is None else _line(row, key) for row in (write.old, write.new))
    if old == new and old is not None:
        yield old, write
        return
    if old is not None:
        yield old, Write(write.old, None, write.marked)
    if new is not None:
        yield new, Write(None, write.new, write.marked)


def _line(row: Row, numbers: Sequence[int]) -> bytes:
    return b"\t".join(row.get(number, NULL) for number in numbers)


def _packed(key: bytes, write: Write) -> bytes:
    parts = [key, b"1" if write.marked else b"0"]
    for row in (write.old, write.new):
        numbers = list(row or ())
        parts += [",".join(map(str, numbers)).encode(), _NONE if row is None else _line(row, numbers)]
    return b"\x00".join(parts) + b"\n"


def _unpacked(line: bytes) -> tuple[bytes, Write]:
    key, marked, *images = line[:-1].split(b"\x00")
    rows: list[Row | None] = []
    for numbers, fields in zip(images[::2], images[1::2], strict=True):
        known = [int(number) for number in numbers.split(b",")] if numbers else []
        rows.append(None if fields == _NONE else dict(zip(known, fields.split(b"\t"), strict=False)))
    return key, Write(rows[0], rows[1], marked == b"1")


def stored_entries(entries: Sequence[LedgerEntry], blobs: Blobs) -> list[str]:
    """Keeps ledger entries for the plan; gives the digests."""
    if not entries:
        return []
    return [blobs.put_blob("\n".join(entry.model_dump_json(by_alias=True) for entry in entries).encode()).digest]
