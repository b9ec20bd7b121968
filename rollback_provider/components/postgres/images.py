"""Row images in the store: what a snapshot and a delta keep of each table."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rollback_provider.components.postgres.blocks import Block
from rollback_provider.components.postgres.tables import Table
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobReader, BlobWriter


@dataclass(frozen=True)
class TableRows:
    """All rows of one table in the snapshot, as COPY lines of ``table.stored_columns``.

    :param xmin: horizon of the moment when they were copied; None where they were put together and can only be compared by value
    """

    table: Table
    blocks: tuple[Block, ...]
    xmin: int | None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(block.rows for block in self.blocks)


@dataclass(frozen=True)
class TableDelta:
    """What changed in one table since the snapshot.

    :param then: oid of the table in the snapshot
    :param now: the table when the delta was taken
    :param order: attnums of `now` in the order of `changed`'s fields: the snapshot's key first
    :param changed: rows written since, whole, as they are now
    :param rewritten: `changed` holds all rows, because new ones cannot be told from old ones
    :param deleted: keys of rows that are gone
    :param rows: number of rows now
    :param xmin: horizon of the moment when it was taken; None where it was put together
    :param keyed: whether rows can be matched by the snapshot's key; if not, `changed` holds whole rows and `deleted` is unknown
    """

    then: int
    now: Table
    order: tuple[int, ...]
    changed: tuple[Block, ...]
    deleted: tuple[Block, ...]
    rows: int
    rewritten: bool
    keyed: bool
    xmin: int | None

    @property
    def changed_rows(self) -> int:
        """Number of rows in `changed`."""
        return sum(block.rows for block in self.changed)


def save_rows(tables: Iterable[TableRows], blobs: BlobWriter) -> str:
    """Stores the index of a snapshot's rows; gives its digest."""
    return _save(
        [{"table": t.table.to_json(), "blocks": [asdict(b) for b in t.blocks], "xmin": t.xmin} for t in tables], blobs
    )


def load_rows(digest: str, blobs: BlobReader) -> dict[int, TableRows]:
    """The index of a snapshot's rows, by oid."""
    found = [
        TableRows(Table.from_json(entry["table"]), _blocks(entry["blocks"]), entry["xmin"])
        for entry in json.loads(blobs.get_blob(digest))
    ]
    return {rows.table.oid: rows for rows in found}


def save_deltas(deltas: Iterable[TableDelta], blobs: BlobWriter) -> str:
    """Stores the index of a delta; gives its digest."""
    return _save([asdict(delta) for delta in deltas], blobs)


def load_deltas(digest: str | None, blobs: BlobReader) -> dict[int, TableDelta]:
    """The index of a delta, by the oid of the table in the snapshot."""
    if digest is None:
        return {}
    found = [
        TableDelta(
            then=entry["then"],
            now=Table.from_json(entry["now"]),
            order=tuple(entry["order"]),
            changed=_blocks(entry["changed"]),
            deleted=_blocks(entry["deleted"]),
            rows=entry["rows"],
            rewritten=entry["rewritten"],
            keyed=entry["keyed"],
            xmin=entry["xmin"],
        )
        for entry in json.loads(blobs.get_blob(digest))
    ]
    return {delta.then: delta for delta in found}


def _save(value: list[Json], blobs: BlobWriter) -> str:
    return blobs.put_blob(json.dumps(value).encode()).digest


def _blocks(entries: Iterable[dict[str, Any]]) -> tuple[Block, ...]:
    return tuple(Block(**entry) for entry in entries)
