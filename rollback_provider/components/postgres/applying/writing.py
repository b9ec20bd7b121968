"""Writes rows back: one batch at a time, in the transaction of whoever calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from psycopg import sql

from rollback_provider.components.postgres.applying.bench import BREAKS, Bench
from rollback_provider.components.postgres.applying.parking import Parking
from rollback_provider.components.postgres.applying.stage import fill, restage
from rollback_provider.components.postgres.applying.triggers import TriggersOff
from rollback_provider.components.postgres.lines import contents
from rollback_provider.components.postgres.listing import list_touched
from rollback_provider.components.postgres.merge import STAGE, Merge
from rollback_provider.components.postgres.multiset import delete_others, insert_missing
from rollback_provider.components.postgres.replaced import Op
from rollback_provider.components.postgres.rows import field, key_of, texts
from rollback_provider.components.postgres.tables import name_of
from rollback_provider.components.postgres.waiting import LAST_TURN
from rollback_provider.core.model import Action, LedgerEntry

_LEFT = {
    "delete": "inserted by the migration, still referred to",
    "insert": "deleted by the migration, cannot be inserted any more",
}
"""Why a row is listed that could not be written."""


class RowWriter:
    """Row actions on a stage of lines, all idempotent where they meet what they have done already.

    :param turn: counts from 1 where the same rows are tried more than once: what stands in the way in one turn may be gone in the next, so
        such rows wait for that, and are listed only in the last
    """

    def __init__(self, bench: Bench, turn: int | None = None) -> None:
        self._bench = bench
        self._session = bench.session
        self._turn = turn

    def update(self, merge: Merge, lines: list[bytes]) -> None:
        """Gives rows that the migration changed their old values."""
        self._staged(merge, merge.stage(), lines)
        self._session.execute(merge.lock())
        self._list(merge, deleting=False)
        if self._turn is None:
            self._write(merge, lines, "update", "restored")
            return
        with TriggersOff(self._session, merge.table):
            self._halve(merge, lines, "update", "restored")
            blocked = dict.fromkeys(self._blocked(merge, lines), "")
            if blocked and self._turn > 1:
                blocked = Parking(self._bench, merge).run([*blocked])
        if self._waits():
            self._bench.waiting.add("update", merge.table.oid, self._turn, blocked)
            return
        for line, problem in blocked.items():
            self._conflict(merge, self._key(merge, line), None, f"cannot come back: {problem}")

    def delete(self, merge: Merge, lines: list[bytes]) -> None:
        """Deletes rows that the migration inserted."""
        self._staged(merge, merge.stage(), lines)
        self._session.execute(merge.lock())
        self._list(merge, deleting=True)
        with TriggersOff(self._session, merge.table):
            while self._halve(merge, lines, "delete", "deleted"):
                pass  # a row that the last round's rows referred to may be free now
        self._leave(merge, "delete", lines, merge.free())

    def insert(self, merge: Merge, lines: list[bytes]) -> None:
        """Inserts rows that the migration deleted."""
        self._staged(merge, merge.whole_stage(), lines)
        names = [c.name for c in merge.key]
        for row in self._session.execute(merge.taken()).fetchall():
            values = dict(zip((c.name for c in merge.columns), row[len(names) :], strict=True))
            self._conflict(
                merge,
                dict(zip(names, row[: len(names)], strict=True)),
                values,
                "deleted by the migration, its key is taken",
            )
        self._write(merge, lines, "insert", "inserted")
        self._leave(merge, "insert", lines, merge.missing())

    def refill(self, merge: Merge, lines: list[bytes], *, keep: bool) -> None:
        """Fills restored columns.

        :param keep: some of them had values, which are replaced
        """
        self._staged(merge, merge.whole_stage(), lines)
        self._write(merge, lines, "refill", "filled again", keep=keep)

    def reload(self, merge: Merge, lines: Iterable[bytes]) -> None:
        """Brings the rows of a table without a key back, which is locked. Rows that are there already stay: others may refer to them."""
        self._session.execute(sql.SQL("drop table if exists {}").format(STAGE))
        self._session.execute(merge.whole_stage())
        with self._session.cursor().copy(sql.SQL("copy {} from stdin").format(STAGE)) as copy:
            for content in contents(lines):
                copy.write(content)
        self._session.execute(sql.SQL("analyze {}").format(STAGE))
        with TriggersOff(self._session, merge.table):
            for statement, what in ((delete_others(merge), "deleted"), (insert_missing(merge), "brought back")):
                self._bench.tally.count(what, self._session.execute(statement).rowcount)
        self._bench.replaced.add("reload", merge, [])

    def leave(self, merge: Merge, op: Op, lines: Sequence[bytes]) -> None:
        """Has rows that cannot be written wait for the next turn; after the last lists them."""
        if self._turn and self._waits():
            self._bench.waiting.add(op, merge.table.oid, self._turn, lines)
            return
        for line in lines:
            self._conflict(merge, self._key(merge, line), None, _LEFT[op])

    def _waits(self) -> bool:
        return self._turn is not None and self._turn < LAST_TURN

    def _leave(self, merge: Merge, op: Op, lines: Sequence[bytes], keys: sql.Composed) -> None:
        """Those with the keys that a query gives."""
        found = {b"\t".join(map(field, row)) for row in self._session.execute(keys)}
        self.leave(merge, op, [line for line in lines if key_of(line, len(merge.key)) in found])

    def _blocked(self, merge: Merge, lines: Sequence[bytes]) -> list[bytes]:
        """Lines of rows that could be written and were not, with a digest of how they look: what is listed of them is listed."""
        restage(self._session, lines)
        keys = {b"\t".join(map(field, row)) for row in self._session.execute(merge.open())}
        if not keys:
            return []
        self._session.execute(merge.mark_seen(merge.image()))
        width = len(merge.key)
        staged = self._session.execute(merge.staged(range(len(merge.columns)))).fetchall()
        return [
            line for line in (b"\t".join(map(field, map(_text, row))) for row in staged) if key_of(line, width) in keys
        ]

    @staticmethod
    def _key(merge: Merge, line: bytes) -> dict[str, str | None]:
        return texts([c.name for c in merge.key], key_of(line, len(merge.key)).split(b"\t"))

    def _staged(self, merge: Merge, create: sql.Composed, lines: Iterable[bytes]) -> None:
        self._session.execute(sql.SQL("drop table if exists {}").format(STAGE))
        self._session.execute(create)
        self._check_at_once(merge)
        fill(self._session, lines)
        self._session.execute(merge.index())

    def _check_at_once(self, merge: Merge) -> None:
        """Has unique and exclusion constraints checked by each statement, so that what breaks one is found where it does."""
        names = self._session.execute(
            "select distinct n.nspname, k.conname from pg_constraint k join pg_namespace n on n.oid = k.connamespace"
            " where k.conrelid = %s::regclass and k.contype in ('p', 'u', 'x') and k.condeferrable",
            [name_of(merge.table).as_string(self._session)],
        ).fetchall()
        if names:
            listed = sql.SQL(", ").join(sql.Identifier(*name) for name in names)
            self._session.execute(sql.SQL("set constraints {} immediate").format(listed))

    def _list(self, merge: Merge, *, deleting: bool) -> None:
        scope = (self._bench.component, merge.table.scope)
        list_touched(self._session, merge, scope, self._bench.ledger, deleting=deleting, keep=True)

    def _write(self, merge: Merge, lines: Sequence[bytes], op: Op, what: str, *, keep: bool = True) -> None:
        """Runs the statement over the stage; where a row breaks a constraint, finds it by halving, and lists it."""
        with TriggersOff(self._session, merge.table):
            self._halve(merge, lines, op, what, keep=keep)

    def _halve(self, merge: Merge, lines: Sequence[bytes], op: Op, what: str, *, keep: bool = True) -> int:
        self._session.execute("savepoint part")
        try:
            rows = self._run(merge, op, keep=keep)
        except BREAKS as error:
            self._session.execute("rollback to savepoint part")
            if len(lines) <= 1:
                if self._turn is None:
                    reason = f"cannot come back: {error.diag.message_primary}"
                    self._conflict(merge, self._key(merge, lines[0]), None, reason)
                return 0
            middle, rows = len(lines) // 2, 0
            for half in (lines[:middle], lines[middle:]):
                restage(self._session, half)
                rows += self._halve(merge, half, op, what, keep=keep)
            restage(self._session, lines)
            return rows
        self._session.execute("release savepoint part")
        self._bench.tally.count(what, rows)
        return rows

    def _run(self, merge: Merge, op: Op, *, keep: bool) -> int:
        """Runs the statement, and keeps what it has replaced. Rows bear the number of the subtransaction, which is kept, too."""
        cursor = self._session.execute(getattr(merge, op)(returning=keep))
        self._bench.keep(op if keep else None, merge, cursor)
        return cursor.rowcount

    def _conflict(
        self, merge: Merge, key: dict[str, str | None], now: dict[str, str | None] | None, reason: str
    ) -> None:
        self._bench.ledger.add(
            LedgerEntry(
                component=self._bench.component,
                scope=merge.table.scope,
                action=Action.CONFLICT_KEPT,
                key=key,
                now=now,
                reason=reason,
            )
        )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


class Batches:
    """Lines in batches by number; reads forward, and starts again only when asked for an earlier batch."""

    def __init__(self, lines: Callable[[], Iterator[Sequence[bytes]]], size: int) -> None:
        self._lines = lines
        self.size = size
        self._next = 0
        self._source = self._cut()
        self._last: tuple[int, list[bytes]] | None = None

    def get(self, number: int) -> list[bytes]:
        """Batch `number`; asking again for the last one is free."""
        if self._last and self._last[0] == number:
            return self._last[1]
        if number < self._next:
            self._next, self._source = 0, self._cut()
        batch: list[bytes] = []
        while self._next <= number:
            batch = next(self._source, [])
            self._next += 1
        self._last = (number, batch)
        return batch

    def _cut(self) -> Iterator[list[bytes]]:
        waiting: list[bytes] = []
        for part in self._lines():
            waiting.extend(part)
            while len(waiting) >= self.size:
                yield waiting[: self.size]
                del waiting[: self.size]
        if waiting:
            yield waiting
