"""Applies steps: DDL under a lock budget, rows in batches, each transaction's id in the journal before it commits.

Before a transaction commits, its id is noted; after a crash ``pg_xact_status`` of the last noted id says whether it did. So every
transaction runs exactly once, without a table of ours in the user's database.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from copy import deepcopy
from functools import partial

import psycopg
from psycopg import sql

from rollback_provider.components.postgres.actions import locks_of
from rollback_provider.components.postgres.applying.bench import Bench, Unit
from rollback_provider.components.postgres.applying.ddl import Ddl
from rollback_provider.components.postgres.applying.loading import recreate
from rollback_provider.components.postgres.applying.not_null import NotNull
from rollback_provider.components.postgres.applying.rows import RowUnits
from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.reversal import Statement
from rollback_provider.components.postgres.salvage import Salvage
from rollback_provider.components.postgres.session import LOCK_TIMEOUT_MS, Session, patiently
from rollback_provider.core.base import Json
from rollback_provider.core.component import Blobs, Notes, Progress
from rollback_provider.core.errors import StepFailedError
from rollback_provider.core.ledger import merge_ledgers
from rollback_provider.core.model import Ledger, Step, StepOutcome


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
        self._cancelled = cancelled
        base = step.payload["base"]
        self._bench = Bench(component, session, Base(base["rows"], base["catch_up"], blobs), blobs, notes, progress)
        self._ddl = Ddl(self._bench)
        self._rows = RowUnits(self._bench)
        self._ledgers: list[Ledger] = []

    def run(self) -> StepOutcome:
        """Does what is left of the step."""
        finished = self._finished()
        for number, unit in enumerate(self._units()):
            if number < finished:
                continue
            patiently(partial(self._transaction, unit, number), self._session, self._component, self._cancelled)
        tally = self._bench.tally
        return StepOutcome(
            changed=finished > 0 or tally.statements > 0 or any(tally.rows.values()),
            detail=self._detail(finished),
            lock_seconds=tally.locks,
            ledger=merge_ledgers(self._ledgers),
        )

    def _finished(self) -> int:
        """How many transactions earlier attempts have committed."""
        notes = self._bench.notes.earlier()
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

    def _transaction(self, unit: Unit, number: int) -> None:
        session, bench = self._session, self._bench
        bench.begin()
        tally = deepcopy(bench.tally)
        if unit.transactional:
            session.execute("begin")
        try:
            session.execute(sql.SQL("set lock_timeout = {}").format(LOCK_TIMEOUT_MS))
            started = time.monotonic()
            unit.work()
            row = session.execute("select pg_current_xact_id()::text").fetchone()
            ledger = bench.ledger.seal()
            noted = {"unit": number, "xid": row[0] if row else "", "ledger": ledger.to_json()}
            bench.notes.add(noted | bench.replaced.to_json() | bench.waiting.to_json(bench.blobs))
            if unit.transactional:
                session.execute("commit")
        except BaseException:
            bench.tally = tally
            if session.info.transaction_status not in {
                psycopg.pq.TransactionStatus.IDLE,
                psycopg.pq.TransactionStatus.UNKNOWN,
            }:
                session.execute("rollback")
            raise
        self._ledgers.append(ledger)
        for lock in unit.locks:
            bench.tally.held(lock, time.monotonic() - started)

    def _units(self) -> Iterator[Unit]:
        """The step's transactions, made one after the other: what later ones do may be known only when earlier ones are done."""
        actions = self._step.payload["actions"]
        if self._step.payload["mode"] == "transaction":
            works = [unit.work for action in actions for unit in self._units_of(action, None)]
            locks = tuple(dict.fromkeys(lock for action in actions for lock in locks_of(action)))

            def everything() -> None:
                for work in works:
                    work()

            yield Unit(everything, locks)
            return
        for action in actions:
            yield from self._units_of(action, self._step.payload["batch"])

    def _units_of(self, action: Json, batch: int | None) -> Iterator[Unit]:
        locks = locks_of(action)
        match action["do"]:
            case "sql":
                statements = [Statement(**statement) for statement in action["statements"]]
                yield Unit(partial(self._ddl.run, statements, last=action["last"]), locks)
            case "index":
                index = partial(self._ddl.index, action["index"], action["statements"][0]["sql"])
                yield Unit(index, locks, transactional=False)
            case "not null":
                yield from NotNull(self._bench, self._ddl, action).units()
            case "salvage":
                yield Unit(partial(self._salvage, Salvage.from_json(action)), locks)
            case "recreate":
                yield Unit(partial(recreate, self._bench, self._ddl, action), locks)
            case "sequences":
                yield Unit(partial(self._ddl.sequences, action["values"]), locks)
            case "deferred":
                yield from self._rows.deferred(action, batch)
            case "merge" | "refill":
                yield from self._rows.of(action, batch)
            case unknown:
                raise StepFailedError(
                    f"This plan has an action that is not known here: {unknown!r}", component=self._component
                )

    def _salvage(self, salvage: Salvage) -> None:
        self._session.execute(salvage.lock())
        self._bench.replaced.add_rows(self._session, salvage)
        for entry in salvage.entries(self._session, self._component):
            self._bench.ledger.add(entry)

    def _detail(self, finished: int) -> str:
        tally = self._bench.tally
        parts = [f"{rows:,} rows {what}" for what, rows in tally.rows.items() if rows]
        if tally.statements:
            parts.append(f"{tally.statements} statements")
        if finished:
            parts.append(f"continued after {finished} transactions of an earlier attempt")
        return ", ".join(parts) or "nothing was left to do"
