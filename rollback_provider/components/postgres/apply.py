"""Applies steps: DDL under a lock budget, rows in batches, each transaction's id in the journal before it commits.

Before a transaction commits, its id is noted; after a crash ``pg_xact_status`` of the last noted id says whether it did. So every
transaction runs exactly once, without a table of ours in the user's database.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial

import psycopg
from psycopg import sql

from rollback_provider.components.postgres.actions import lines_of, locks_of, merge_of, table_of
from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.horizon import Horizon, since
from rollback_provider.components.postgres.merge import Merge
from rollback_provider.components.postgres.replaced import Replaced
from rollback_provider.components.postgres.reversal import Statement
from rollback_provider.components.postgres.salvage import Salvage
from rollback_provider.components.postgres.session import LOCK_TIMEOUT_MS, RETRYABLE, Session, patiently
from rollback_provider.components.postgres.tables import loaded, name_of
from rollback_provider.components.postgres.triggers import TriggersOff
from rollback_provider.components.postgres.writing import BREAKS, Batches, RowWriter
from rollback_provider.core.component import Blobs, Notes, Progress
from rollback_provider.core.errors import DriftError, StepFailedError
from rollback_provider.core.ledger import LedgerWriter, merge_ledgers
from rollback_provider.core.model import Action, Json, Ledger, LedgerEntry, Step, StepOutcome

LEFT_OFF = (*BREAKS, psycopg.errors.InvalidForeignKey, psycopg.errors.ObjectNotInPrerequisiteState)
"""What a constraint or index that comes back can run into: rows written since, or the lack of the key it refers to."""


@dataclass
class _Tally:
    """What a step has done so far."""

    rows: dict[str, int] = field(default_factory=dict)
    statements: int = 0
    locks: dict[str, float] = field(default_factory=dict)

    def count(self, what: str, rows: int) -> None:
        self.rows[what] = self.rows.get(what, 0) + rows

    def held(self, lock: str, seconds: float) -> None:
        if lock:
            self.locks[lock] = round(max(self.locks.get(lock, 0.0), seconds), 4)


class Applier:
    """Runs one step in a session that holds the database's advisory lock."""

    def __init__(
        self,
        component: str,
        session: Session,
        step: Step,
        blobs: Blobs,
        notes: Notes,
        progress: Progress,
        cancelled: threading.Event,
    ) -> None:
        self._component = component
        self._session = session
        self._step = step
        self._blobs = blobs
        self._notes = notes
        self._progress = progress
        self._cancelled = cancelled
        self._writer = RowWriter(component, session, LedgerWriter(blobs), self._count)
        self._ledgers: list[Ledger] = []
        self._tally = _Tally()
        base = step.payload["base"]
        self._base = Base(base["rows"], base["catch_up"], blobs)

    def run(self) -> StepOutcome:
        """Does what is left of the step."""
        units = self._units()
        finished = self._finished()
        for number, unit in enumerate(units):
            if number < finished:
                continue
            patiently(partial(self._transaction, unit, number), self._session, self._component, self._cancelled)
        changed = finished > 0 or self._tally.statements > 0 or any(self._tally.rows.values())
        return StepOutcome(
            changed=changed,
            detail=self._detail(finished),
            lock_seconds=self._tally.locks,
            ledger=merge_ledgers(self._ledgers),
        )

    # Transactions ---------------------------------------------------------------------------------------------------------

    def _finished(self) -> int:
        """How many transactions earlier attempts have committed."""
        notes = self._notes.earlier()
        if not notes:
            return 0
        last = notes[-1]
        row = self._session.execute("select pg_xact_status(%s::text::xid8)", [str(last["xid"])]).fetchone()
        status = row[0] if row else None
        if status in {"committed", "aborted"}:
            finished: int = last["unit"] + (status == "committed")
            listed = {int(note["unit"]): note["ledger"] for note in notes}
            self._ledgers += [Ledger.model_validate(ledger) for unit, ledger in listed.items() if unit < finished]
            return finished
        raise StepFailedError(
            f"Whether transaction {last['xid']} of the last attempt was committed cannot be told (status {status})",
            component=self._component,
            next_step="If it is in progress, end its session; otherwise compare with the snapshot: rollbackctl verify",
        )

    def _transaction(self, unit: _Unit, number: int) -> None:
        session = self._session
        self._writer.ledger = LedgerWriter(self._blobs)
        replaced = self._writer.replaced = Replaced(self._blobs)
        tally = deepcopy(self._tally)
        if unit.transactional:
            session.execute("begin")
        try:
            session.execute(sql.SQL("set lock_timeout = {}").format(LOCK_TIMEOUT_MS))
            started = time.monotonic()
            unit.work()
            row = session.execute("select pg_current_xact_id()::text").fetchone()
            ledger = self._writer.ledger.seal()
            noted = {"unit": number, "xid": row[0] if row else "", "ledger": ledger.to_json()}
            self._notes.add(noted | replaced.to_json())
            if unit.transactional:
                session.execute("commit")
        except BaseException:
            self._tally = tally
            if session.info.transaction_status not in {
                psycopg.pq.TransactionStatus.IDLE,
                psycopg.pq.TransactionStatus.UNKNOWN,
            }:
                session.execute("rollback")
            raise
        self._ledgers.append(ledger)
        for lock in unit.locks:
            self._tally.held(lock, time.monotonic() - started)

    def _units(self) -> list[_Unit]:
        actions = self._step.payload["actions"]
        if self._step.payload["mode"] == "transaction":
            works = [unit.work for action in actions for unit in self._units_of(action, None)]
            locks = tuple(dict.fromkeys(lock for action in actions for lock in locks_of(action)))

            def everything() -> None:
                for work in works:
                    work()

            return [_Unit(everything, locks)]
        return [unit for action in actions for unit in self._units_of(action, self._step.payload["batch"])]

    def _units_of(self, action: Json, batch: int | None) -> Iterator[_Unit]:
        locks = locks_of(action)
        match action["do"]:
            case "sql":
                statements = [Statement(**statement) for statement in action["statements"]]
                yield _Unit(partial(self._run_sql, statements, last=action["last"]), locks)
            case "index":
                yield _Unit(
                    partial(self._index, action["index"], action["statements"][0]["sql"]), locks, transactional=False
                )
            case "salvage":
                yield _Unit(lambda: self._salvage(Salvage.from_json(action)), locks)
            case "recreate":
                yield _Unit(lambda: self._recreate(action), locks)
            case "sequences":
                yield _Unit(lambda: self._sequences(action), locks)
            case "deferred":
                yield _Unit(lambda: self._deferred(action), locks)
            case "merge" | "refill":
                yield from self._row_units(action, batch, locks)
            case unknown:
                raise StepFailedError(
                    f"This plan has an action that is not known here: {unknown!r}", component=self._component
                )

    # Schema ---------------------------------------------------------------------------------------------------------------

    def _run_sql(self, statements: Sequence[Statement], *, last: bool = False) -> None:
        """Runs statements. In the last phase one that rows stand against is left off and listed; verification will name it as missing."""
        if last:
            self._session.execute("set constraints all immediate")  # a table with pending events cannot be altered
        for statement in statements:
            if last:
                self._session.execute("savepoint statement")
            try:
                self._session.execute(statement.sql.encode())
            except LEFT_OFF as error:
                if not last:
                    raise self._failed(statement.sql, error) from error
                self._session.execute("rollback to savepoint statement")
                self._leave_off(statement.sql, error)
                continue
            except (*RETRYABLE, psycopg.OperationalError, psycopg.errors.InsufficientPrivilege):
                raise
            except psycopg.DataError as error:
                raise DriftError(
                    f"A value written since the plan was made does not fit any more: {error.diag.message_primary}",
                    component=self._component,
                    state="This transaction was undone; what was committed before it stays",
                    next_step="Abandon this rollback and generate it again: the new plan takes that value into account",
                ) from error
            except psycopg.Error as error:
                raise self._failed(statement.sql, error) from error
            if last:
                self._session.execute("release savepoint statement")
            self._tally.statements += 1

    def _index(self, name: str, statement: str) -> None:
        """Makes an index without blocking writers; what an interrupted attempt has left INVALID is dropped first."""
        session = self._session
        session.execute("set lock_timeout = 0")
        row = session.execute("select indisvalid from pg_index where indexrelid = to_regclass(%s)", [name]).fetchone()
        if row and row[0]:
            return
        drop = f"drop index concurrently {name}".encode()
        if row:
            session.execute(drop)
        try:
            session.execute(statement.encode())
        except LEFT_OFF as error:
            session.execute(drop)
            self._leave_off(statement, error)
        else:
            self._tally.statements += 1

    def _leave_off(self, statement: str, error: psycopg.Error) -> None:
        self._writer.ledger.add(
            LedgerEntry(
                component=self._component,
                scope="schema",
                action=Action.CONFLICT_KEPT,
                key={"statement": statement},
                reason=f"left off, because rows stand against it: {error.diag.message_primary}",
            )
        )

    def _failed(self, statement: str, error: psycopg.Error) -> StepFailedError:
        return StepFailedError(
            f"{error.diag.message_primary or error} (in: {statement})",
            component=self._component,
            state="This transaction was undone; what was committed before it stays",
        )

    def _salvage(self, salvage: Salvage) -> None:
        self._session.execute(salvage.lock())
        self._replaced().add_rows(self._session, salvage)
        for entry in salvage.entries(self._session, self._component):
            self._writer.ledger.add(entry)

    def _recreate(self, action: Json) -> None:
        table = table_of(action)
        self._run_sql([Statement(**statement) for statement in action["create"]])
        done = 0
        query = sql.SQL("copy {} from stdin").format(loaded(table))
        with self._session.cursor().copy(query) as copy:
            for lines in self._base.lines(table.oid):
                if lines:
                    copy.write(b"\n".join(lines) + b"\n")
                    done += len(lines)
                    self._progress.update(f"rows back in {table.scope}", done=done, total=action["rows"])
        self._tally.count("brought back", done)
        self._run_sql([Statement(**statement) for statement in action["complete"]])

    def _sequences(self, action: Json) -> None:
        for name, (value, called) in action["values"].items():
            self._session.execute("select setval(%s::regclass, %s, %s)", [name, value, called])
            self._tally.statements += 1

    # Rows -----------------------------------------------------------------------------------------------------------------

    def _row_units(self, action: Json, batch: int | None, locks: tuple[str, ...]) -> Iterator[_Unit]:
        merge = merge_of(action)
        ways: dict[str, Callable[[Merge, list[bytes]], None]] = {
            "update": self._writer.update,
            "delete": self._writer.delete,
            "insert": self._writer.insert,
            "refill": partial(self._writer.refill, keep=bool(action.get("replaces"))),
            "reload": lambda *_: None,
        }
        run = ways[action["op"]]

        def lines() -> Iterator[Sequence[bytes]]:
            return lines_of(action, self._base, self._blobs)

        def write(merge: Merge, part: list[bytes]) -> None:
            self._writer.turn = action.get("turn")
            run(merge, part)

        if action["op"] == "reload":
            yield _Unit(partial(self._reload, merge, action), locks)
            return
        if batch is None:
            yield _Unit(lambda: write(merge, [line for part in lines() for line in part]), locks)
            return
        total, batches = action["rows"], Batches(lines, batch)
        for number in range(-(-total // batch)):
            yield _Unit(partial(self._batch, write, merge, batches, number, total), locks)

    def _reload(self, merge: Merge, action: Json) -> None:
        """Replaces a table's rows, if they are still those that the plan has seen."""
        table = name_of(merge.table)
        self._session.execute(sql.SQL("lock table only {} in access exclusive mode").format(table))
        query = sql.SQL("select count(*), count(*) filter (where {}) from only {}").format(
            since(Horizon(action["since"])), table
        )
        row = self._session.execute(query).fetchone()
        if (
            row is None
            or row[0] != action["found"]
            or (row[1] and not self._rewritten(merge.table.oid, action["filenode"]))
        ):
            raise DriftError(
                f"Applications have written to {merge.table.scope}, which has no key to tell their rows by, since the plan was made",
                component=self._component,
                state="This transaction was undone; what was committed before it stays",
                next_step="Stop the applications, abandon this rollback and generate it again",
            )
        self._writer.reload(merge, (line for part in lines_of(action, self._base, self._blobs) for line in part))

    def _rewritten(self, oid: int, filenode: int) -> bool:
        """Whether this rollback has rewritten the table since it was planned, so that all its rows look new."""
        row = self._session.execute("select relfilenode from pg_class where oid = %s", [oid]).fetchone()
        return row is None or row[0] != filenode

    def _deferred(self, action: Json) -> None:
        """Runs actions with these foreign keys checked at the end; where that fails, row by row without."""
        self._session.execute("savepoint circle")
        kept = len(self._replaced().changes)
        try:
            self._run_deferred(action)
        except BREAKS:
            # An application has taken away what some row refers to: then the others come back, and that one is listed.
            self._session.execute("rollback to savepoint circle")
            del self._replaced().changes[kept:]
            self._run_all(action)
        self._session.execute("release savepoint circle")

    def _run_deferred(self, action: Json) -> None:
        session = self._session
        with ExitStack() as triggers:
            # All at once: to enable a trigger again, constraints have to be checked first.
            for table in {table.oid: table for table in map(table_of, action["actions"])}.values():
                triggers.enter_context(TriggersOff(session, table))
            altered = []
            alter = sql.SQL("alter table {} alter constraint {} {}")
            for constraint in action["constraints"]:
                table_name = sql.Identifier(constraint["schema"], constraint["name"])
                name = sql.Identifier(constraint["constraint"])
                row = session.execute(
                    "select condeferrable, condeferred from pg_constraint"
                    " where conrelid = %s::regclass and conname = %s and conparentid = 0",
                    [table_name.as_string(session), constraint["constraint"]],
                ).fetchone()
                if row:
                    was = ("" if row[0] else "not ") + "deferrable initially " + ("deferred" if row[1] else "immediate")
                    altered.append((table_name, name, was))
                    session.execute(alter.format(table_name, name, sql.SQL("deferrable initially deferred")))
            self._run_all(action)
            session.execute("set constraints all immediate")
            for table_name, name, was in altered:
                session.execute(alter.format(table_name, name, sql.SQL(was)))

    def _run_all(self, action: Json) -> None:
        for each in action["actions"]:
            for unit in self._units_of(each, None):
                unit.work()

    def _replaced(self) -> Replaced:
        assert self._writer.replaced is not None  # noqa: S101  every transaction has one
        return self._writer.replaced

    def _batch(
        self, run: Callable[[Merge, list[bytes]], None], merge: Merge, batches: Batches, number: int, total: int
    ) -> None:
        run(merge, batches.get(number))
        self._progress.update(
            f"rows back in {merge.table.scope}", done=min((number + 1) * batches.size, total), total=total
        )

    def _count(self, what: str, rows: int) -> None:
        self._tally.count(what, rows)

    def _detail(self, finished: int) -> str:
        parts = [f"{rows:,} rows {what}" for what, rows in self._tally.rows.items() if rows]
        if self._tally.statements:
            parts.append(f"{self._tally.statements} statements")
        if finished:
            parts.append(f"continued after {finished} transactions of an earlier attempt")
        return ", ".join(parts) or "nothing was left to do"


@dataclass(frozen=True)
class _Unit:
    """What one transaction does."""

    work: Callable[[], None]
    locks: tuple[str, ...] = ()
    transactional: bool = True
