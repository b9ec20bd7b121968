"""NOT NULL on a large table before PostgreSQL 18: a check that is validated while others write tells the server that it need not look."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.applying.bench import BREAKS, Bench, Unit
from rollback_provider.components.postgres.applying.ddl import Ddl
from rollback_provider.components.postgres.reversal import Statement
from rollback_provider.core.base import Json


class NotNull:
    """Three transactions: the check, its validation, NOT NULL in its place.

    Where the name of the check is taken, or the table takes none, it is done without; where a value lacks, the check goes, too.
    """

    def __init__(self, bench: Bench, ddl: Ddl, action: Json) -> None:
        self._bench = bench
        self._session = bench.session
        self._ddl = ddl
        self._table, self._name = action["table"], action["check"]
        self._add, self._validate, self._set, self._drop = (
            Statement(**statement) for statement in action["statements"]
        )

    def units(self) -> Iterator[Unit]:
        """The transactions."""
        yield Unit(self._added, (self._add.locks,))
        yield Unit(self._validated, (self._validate.locks,))
        yield Unit(self._replaced, (self._set.locks,))

    def _added(self) -> None:
        row = self._session.execute(
            "select from pg_class where oid = %(table)s::regclass and relkind in ('r', 'p') and not exists"
            " (select from pg_constraint where conrelid = %(table)s::regclass and conname = %(name)s)",
            {"table": self._table, "name": self._name},
        ).fetchone()
        if row is not None:
            self._ddl.run([self._add])

    def _validated(self) -> None:
        if self._is_valid() is None:
            return
        try:
            with self._bench.attempt(*BREAKS):
                self._session.execute(self._validate.sql.encode())
        except BREAKS as error:
            self._ddl.leave_off(self._set.sql, error)

    def _replaced(self) -> None:
        match self._is_valid():
            case True:
                self._ddl.run([self._set, self._drop])
            case False:
                self._ddl.run([self._drop])
            case None:
                self._ddl.run([self._set], last=True)

    def _is_valid(self) -> bool | None:
        """Whether the check has been validated; None where it is not there, or somebody else's."""
        row = self._session.execute(
            "select convalidated from pg_constraint where conrelid = %s::regclass and conname = %s"
            " and pg_get_constraintdef(oid) like 'CHECK ((%% IS NOT NULL))%%'",
            [self._table, self._name],
        ).fetchone()
        return None if row is None else bool(row[0])
