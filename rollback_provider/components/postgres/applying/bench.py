"""What everybody who works on a step shares: session, store, and what the transaction that is open has done so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from dataclasses import field as default
from typing import Any

import psycopg
from psycopg import errors as pg

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.merge import Merge
from rollback_provider.components.postgres.replaced import Op, Replaced
from rollback_provider.components.postgres.rows import field
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.waiting import Waiting
from rollback_provider.core.component import Blobs, Notes, Progress
from rollback_provider.core.ledger import LedgerWriter

BREAKS = (
    pg.UniqueViolation,
    pg.ForeignKeyViolation,
    pg.CheckViolation,
    pg.NotNullViolation,
    pg.ExclusionViolation,
)
"""What an old row can break by coming back: some application has since written what excludes it."""


@dataclass(frozen=True)
class Unit:
    """What one transaction does.

    :param locks: what it locks against applications, in words
    :param transactional: false where `work` cannot run in a transaction
    """

    work: Callable[[], None]
    locks: tuple[str, ...] = ()
    transactional: bool = True


@dataclass
class Tally:
    """What a step has done so far."""

    rows: dict[str, int] = default(default_factory=dict)
    statements: int = 0
    locks: dict[str, float] = default(default_factory=dict)

    def count(self, what: str, rows: int) -> None:
        """Adds rows."""
        self.rows[what] = self.rows.get(what, 0) + rows

    def held(self, lock: str, seconds: float) -> None:
        """Keeps the longest time that a lock was held."""
        if lock:
            self.locks[lock] = round(max(self.locks.get(lock, 0.0), seconds), 4)


class Bench:
    """One step's tools. Ledger, replaced and waiting rows are those of the transaction that is open."""

    def __init__(
        self, component: str, session: Session, base: Base, blobs: Blobs, notes: Notes, progress: Progress
    ) -> None:
        self.component = component
        self.session = session
        self.base = base
        self.blobs = blobs
        self.notes = notes
        self.progress = progress
        self.tally = Tally()
        self.begin()

    def begin(self) -> None:
        """Another transaction, which has done nothing yet."""
        self.ledger = LedgerWriter(self.blobs)
        self.replaced = Replaced(self.blobs)
        self.waiting = Waiting()

    def keep(self, op: Op | None, merge: Merge, cursor: psycopg.Cursor[tuple[Any, ...]]) -> None:
        """Keeps what a statement has returned, for whoever will undo it, and the number of the subtransaction that its rows bear."""
        if cursor.rowcount:
            own = self.session.execute(
                "select transactionid::text::bigint from pg_locks"
                " where locktype = 'transactionid' and pid = pg_backend_pid() and mode = 'ExclusiveLock'"
            ).fetchall()
            self.replaced.own.update(xid for (xid,) in own)
        if op:
            self.replaced.add(op, merge, [b"\t".join(map(field, row)) for row in cursor])

    @contextmanager
    def attempt(self, *errors: type[Exception]) -> Iterator[None]:
        """A savepoint. Where one of these errors is raised, all is as it was before, and the error goes on."""
        self.session.execute("savepoint attempt")
        mark = self.ledger.mark()
        kept = deepcopy(self.tally), self.replaced.copy(), self.waiting.copy()
        try:
            yield
        except errors:
            self.session.execute("rollback to savepoint attempt")
            self.ledger.back_to(mark)
            self.tally, self.replaced, self.waiting = kept
            raise
        self.session.execute("release savepoint attempt")
