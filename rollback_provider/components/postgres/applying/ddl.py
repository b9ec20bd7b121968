"""Runs statements; those that rows stand against are left off and listed."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from rollback_provider.components.postgres.applying.bench import BREAKS, Bench
from rollback_provider.components.postgres.reversal import Statement
from rollback_provider.components.postgres.session import RETRYABLE
from rollback_provider.core.base import Json
from rollback_provider.core.errors import DriftError, StepFailedError
from rollback_provider.core.model import Action, LedgerEntry

LEFT_OFF = (*BREAKS, psycopg.errors.InvalidForeignKey, psycopg.errors.ObjectNotInPrerequisiteState)
"""What a constraint or index that comes back can run into: rows written since, or the lack of the key it refers to."""


class Ddl:
    """The schema's part of a step."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._session = bench.session

    def run(self, statements: Sequence[Statement], *, last: bool = False) -> None:
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
                self.leave_off(statement.sql, error)
                continue
            except (*RETRYABLE, psycopg.OperationalError, psycopg.errors.InsufficientPrivilege):
                raise
            except psycopg.DataError as error:
                raise DriftError(
                    f"A value written since the plan was made does not fit any more: {error.diag.message_primary}",
                    component=self._bench.component,
                    state="This transaction was undone; what was committed before it stays",
                    next_step="Abandon this rollback and generate it again: the new plan takes that value into account",
                ) from error
            except psycopg.Error as error:
                raise self._failed(statement.sql, error) from error
            if last:
                self._session.execute("release savepoint statement")
            self._bench.tally.statements += 1

    def index(self, name: str, statement: str) -> None:
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
            self.leave_off(statement, error)
        else:
            self._bench.tally.statements += 1

    def sequences(self, values: Json) -> None:
        """Sets sequences, given by name, to a value and whether that was handed out."""
        for name, (value, called) in values.items():
            self._session.execute("select setval(%s::regclass, %s, %s)", [name, value, called])
            self._bench.tally.statements += 1

    def leave_off(self, statement: str, error: psycopg.Error) -> None:
        """Lists a statement that rows stand against."""
        self._bench.ledger.add(
            LedgerEntry(
                component=self._bench.component,
                scope="schema",
                action=Action.CONFLICT_KEPT,
                key={"statement": statement},
                reason=f"left off, because rows stand against it: {error.diag.message_primary}",
            )
        )

    def _failed(self, statement: str, error: psycopg.Error) -> StepFailedError:
        return StepFailedError(
            f"{error.diag.message_primary or error} (in: {statement})",
            component=self._bench.component,
            state="This transaction was undone; what was committed before it stays",
        )
