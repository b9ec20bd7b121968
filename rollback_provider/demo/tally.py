"""Counts what became of the writes that the shop's application was told are done."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from rollback_provider.core.base import Json
from rollback_provider.demo.application import NOTE_COLUMNS

_TABLES = {"place": "orders", "edit": "orders", "pay": "payments"}
"""Which table holds the row that a kind of write leaves."""


@dataclass(frozen=True)
class Tally:
    """Acknowledged writes against those found.

    :param present: found as they were written
    :param listed: not found, but in the ledger by table and key
    :param missing: neither: lost
    """

    acknowledged: int
    present: int
    listed: int
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether there were writes and none is lost."""
        return self.acknowledged > 0 and not self.missing


@dataclass(frozen=True)
class Latencies:
    """How long acknowledged writes took, in milliseconds."""

    count: int
    median: float
    p99: float
    worst: float


def read_log(path: Path) -> list[Json]:
    """The application's log of acknowledged writes, without a last line that was not finished."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]


def count_writes(connection: psycopg.Connection, writes: Sequence[Json], ledger: Iterable[Json]) -> Tally:
    """Looks for every acknowledged write in the database and, where it is not there, in the ledger."""
    found = _notes(connection) | _payments(connection)
    lost = [write for write in writes if found.get((write["kind"] == "pay", write["id"])) != write["token"]]
    known = {(entry["scope"], entry["key"].get("id")) for entry in ledger} if lost else set()
    missing = [write for write in lost if (f"public.{_TABLES[write['kind']]}", str(write["id"])) not in known]
    return Tally(
        acknowledged=len(writes),
        present=len(writes) - len(lost),
        listed=len(lost) - len(missing),
        missing=tuple(f"{write['token']} ({write['kind']} {write['id']})" for write in missing),
    )


def latencies(writes: Iterable[Json], since: datetime | None = None, until: datetime | None = None) -> Latencies:
    """Of the writes that were under way at some time between two moments."""
    begin = since.timestamp() if since else float("-inf")
    end = until.timestamp() if until else float("inf")
    taken = sorted(w["ms"] for w in writes if w["time"] >= begin and w["time"] - w["ms"] / 1000 <= end)
    if not taken:
        return Latencies(0, 0.0, 0.0, 0.0)
    return Latencies(len(taken), taken[len(taken) // 2], taken[len(taken) * 99 // 100], taken[-1])


def _notes(connection: psycopg.Connection) -> dict[tuple[bool, int], Any]:
    [(name,)] = connection.execute(
        "select attname::text from pg_attribute where attrelid = 'orders'::regclass and attname = any (%s)",
        [list(NOTE_COLUMNS)],
    ).fetchall()
    note = sql.Identifier(name)
    query = sql.SQL("select id, {} from orders where {} like 'write-%%'").format(note, note)
    return {(False, key): token for key, token in connection.execute(query, []).fetchall()}


def _payments(connection: psycopg.Connection) -> dict[tuple[bool, int], Any]:
    query = """
        select payments.id, reference from payments join orders on orders.id = order_id
        where reference like 'write-%' and orders.status = 'paid'
    """
    return {(True, key): token for key, token in connection.execute(query).fetchall()}
