"""A made-up application: it changes rows that are there, adds new ones and deletes its own, each write with a token of its own.

It knows tables and columns by their identity, as a release that is ready for the migration does: where one is renamed, it goes on under
the new name, and where a write is not possible under the schema of the moment, it did not happen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg import sql

from rollback_provider.components.postgres.reserved import number_in
from rollback_provider.components.postgres.tables import Column, Table
from rollback_provider.core.rehearsal.model import Write, WriteOutcome

RATE = 200
"""Writes a second, at most."""
_OPTIONS = (
    "-c lock_timeout=500 -c statement_timeout=5s -c timezone=UTC -c datestyle=ISO,YMD -c intervalstyle=postgres"
    " -c extra_float_digits=3 -c bytea_output=hex -c default_transaction_isolation=read\\ committed"
)
_KNOWN_ROWS = 2000
_PATIENCE = 5.0
"""Seconds without an acknowledged write after which no more are expected."""
_AGAIN = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
_GONE = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.CannotCoerce)
_OFFSET = 1_000_000_000
"""Integers that are made up begin here: sequences do not come that far."""

Row = tuple[str, tuple[str, ...]]


@dataclass
class Target:
    """A table that can be written to.

    :param keys: of rows that are there, as text
    :param own: keys of rows that the writer has added
    :param names: what the table and its columns are called now, by attnum, with their types; None where that is to be looked up
    :param refusals: how often the schema has refused a token in a column
    """

    table: Table
    keys: list[tuple[str, ...]]
    own: list[tuple[str, ...]] = field(default_factory=list)
    names: tuple[sql.Identifier, dict[int, tuple[str, str]]] | None = None
    refusals: dict[int, int] = field(default_factory=dict)
    adding: int = 0


class SyntheticWriter:
    """Writes from entering the block until leaving it.

    :param info: connection string; holds the password
    :param tables: as in the snapshot; those without a key are left alone
    """

    def __init__(self, info: str, tables: Collection[Table], seed: int) -> None:
        self._info = info
        self._random = Random(seed)  # noqa: S311  the same writes every time
        self._tables = tables
        self._targets: list[Target] = []
        self._aimed: list[Row] = []
        self._stop = threading.Event()
        self._running = threading.Event()
        self._quiet = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._connection: psycopg.Connection[Any] | None = None
        self._number = 0
        self.writes: list[Write] = []
        self.refused = 0
        self.failure: BaseException | None = None

    def __enter__(self) -> Self:
        with self._connect() as connection:
            for table in self._tables:
                if table.key:
                    keys = sql.SQL(", ").join(
                        sql.SQL("{}::text").format(sql.Identifier(column.name)) for column in table.key_columns
                    )
                    query = sql.SQL("select {} from only {} limit {}").format(
                        keys, sql.Identifier(table.schema, table.name), _KNOWN_ROWS
                    )
                    self._targets.append(Target(table, [tuple(row) for row in connection.execute(query)]))
        self._targets = [target for target in self._targets if target.keys]
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._connection:
            self._connection.close()
        if self.failure:
            raise self.failure

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within this context it does not write."""
        with self._quiet:
            yield

    def aim_at(self, rows: Collection[Row]) -> None:
        """From now on every second write is to one of these rows."""
        self._aimed = list(rows)

    def wait_for(self, count: int) -> int:
        """Returns once this many more were acknowledged, or none were for seconds; says how many."""
        before = seen = len(self.writes)
        deadline = time.monotonic() + _PATIENCE
        while self._targets and len(self.writes) < before + count and time.monotonic() < deadline:
            if len(self.writes) > seen:
                seen, deadline = len(self.writes), time.monotonic() + _PATIENCE
            self._stop.wait(0.005)
        return len(self.writes) - before

    def _run(self) -> None:
        due = time.monotonic()
        try:
            while self._targets and not self._stop.is_set():
                with self._quiet:
                    self._once()
                due = max(due + 1 / RATE, time.monotonic() - 0.1)
                self._stop.wait(max(0.0, due - time.monotonic()))
        except BaseException as error:  # noqa: BLE001  raised where the block ends
            self.failure = error

    def _once(self) -> None:
        self._number += 1
        target, key = self._choose()
        dice = self._random.random()
        if key is None and dice < 0.25:
            self._insert(target)
        elif key is None and dice < 0.35 and target.own:
            self._delete(target, self._random.choice(target.own))
        else:
            self._update(target, key or self._random.choice(target.keys + target.own))

    def _choose(self) -> tuple[Target, tuple[str, ...] | None]:
        if self._aimed and self._number % 2:
            scope, key = self._random.choice(self._aimed)
            for target in self._targets:
                if target.table.scope == scope:
                    return target, key
        return self._random.choice(self._targets), None

    def _update(self, target: Target, key: tuple[str, ...]) -> None:
        column = self._column(target)
        if column is None or target.names is None:
            return
        table, names = target.names
        token = self._token_for(column, names[column.number][1])
        where = self._where(target, key)
        if token is None or where is None:
            return
        statement = sql.SQL("update {} set {} = {} where {}").format(
            table, sql.Identifier(names[column.number][0]), sql.Literal(token), where
        )
        done = self._execute(target, statement, "update", key, {column.name: token})
        if done is False:
            target.refusals[column.number] = target.refusals.get(column.number, 0) + 1

    def _insert(self, target: Target) -> None:
        """Adds a row like one that is there, under a key of its own."""
        column = self._column(target)
        source = self._random.choice(target.keys)
        if target.adding > 5 or column is None or target.names is None:
            return
        table, names = target.names
        where, key = self._where(target, source), self._new_key(target, source)
        tokens = {c.number: self._token_for(c, names[c.number][1]) for c in self._writable(target) if c.number in names}
        if where is None or key is None:
            return
        if not target.adding:
            tokens = {column.number: tokens[column.number]}
        written = {number: token for number, token in tokens.items() if token is not None}
        keys = dict(zip(target.table.key, key, strict=True))
        columns = [c for c in target.table.stored_columns if c.number in names]
        values = [
            sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(names[c.number][1]))
            if (value := keys.get(c.number, written.get(c.number))) is not None
            else sql.Identifier(names[c.number][0])
            for c in columns
        ]
        statement = sql.SQL("insert into {} ({}) overriding system value select {} from {} where {}").format(
            table,
            sql.SQL(", ").join(sql.Identifier(names[c.number][0]) for c in columns),
            sql.SQL(", ").join(values),
            table,
            where,
        )
        by_number = {c.number: c.name for c in target.table.columns}
        tokens_by_name = {by_number[number]: token for number, token in written.items()}
        done = self._execute(target, statement, "insert", key, tokens_by_name)
        if done:
            target.own.append(key)
        elif done is False:
            target.adding += 1

    def _delete(self, target: Target, key: tuple[str, ...]) -> None:
        where = self._where(target, key)
        if where is None or target.names is None:
            return
        statement = sql.SQL("delete from {} where {}").format(target.names[0], where)
        if self._execute(target, statement, "delete", key, {}):
            target.own.remove(key)

    def _execute(
        self, target: Target, statement: sql.Composed, action: Any, key: tuple[str, ...], values: dict[str, str]
    ) -> bool | None:
        """True where it is acknowledged, false where the schema refuses it, None where it did not happen or nobody knows."""
        started = time.monotonic()
        while not self._stop.is_set():
            try:
                count = self._open().execute(statement).rowcount
            except _AGAIN:
                self._stop.wait(0.01)
                continue
            except _GONE:
                target.names = None
                return None
            except (psycopg.OperationalError, psycopg.InterfaceError):
                if self._connection and self._connection.closed:
                    self._keep(action, target, key, values, WriteOutcome.UNKNOWN, started)
                    self._connection = None
                return None
            except psycopg.Error:
                self.refused += 1
                return False
            if count != 1:
                return None
            self._keep(action, target, key, values, WriteOutcome.ACKNOWLEDGED, started)
            return True
        return None

    def _keep(
        self,
        action: Any,
        target: Target,
        key: tuple[str, ...],
        values: dict[str, str],
        outcome: WriteOutcome,
        started: float,
    ) -> None:
        took = round((time.monotonic() - started) * 1000, 3)
        self.writes.append(
            Write(scope=target.table.scope, key=key, action=action, values=values, outcome=outcome, milliseconds=took)
        )

    def _column(self, target: Target) -> Column | None:
        """A column to write a token to, as the schema of the moment allows it."""
        if target.names is None:
            self._look_up(target)
        usable = [
            column
            for column in self._writable(target)
            if target.names
            and column.number in target.names[1]
            and self._token_for(column, target.names[1][column.number][1])
        ]
        return self._random.choice(usable) if usable else None

    def _writable(self, target: Target) -> list[Column]:
        table = target.table
        bound = {number for key in table.foreign_keys for number in key.columns} | set(table.key)
        return [c for c in table.stored_columns if c.number not in bound and target.refusals.get(c.number, 0) < 3]

    def _look_up(self, target: Target) -> None:
        """What the table and its columns are called now; by name where the table is another one."""
        table = target.table
        try:
            rows = (
                self._open()
                .execute(
                    "select n.nspname, c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), c.oid::int8"
                    " from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid"
                    " where a.attnum > 0 and not a.attisdropped and c.oid = coalesce("
                    " (select oid from pg_class where oid = %s), to_regclass(%s))",
                    [table.oid, sql.Identifier(table.schema, table.name).as_string()],
                )
                .fetchall()
            )
        except (psycopg.OperationalError, psycopg.InterfaceError):
            self._connection = None
            return
        if not rows or number_in(rows[0][1]) is not None:
            return
        if rows[0][5] == table.oid:
            found = {number: (name, kind) for _, _, number, name, kind, _ in rows if number_in(name) is None}
        else:
            by_name = {name: kind for _, _, _, name, kind, _ in rows}
            found = {c.number: (c.name, by_name[c.name]) for c in table.columns if c.name in by_name}
        target.names = sql.Identifier(rows[0][0], rows[0][1]), found

    def _where(self, target: Target, key: tuple[str, ...]) -> sql.Composed | None:
        if target.names is None:
            self._look_up(target)
        if target.names is None or any(number not in target.names[1] for number in target.table.key):
            return None
        columns = [target.names[1][number] for number in target.table.key]
        return sql.SQL(" and ").join(
            sql.SQL("{} = {}::{}").format(sql.Identifier(name), sql.Literal(value), sql.SQL(kind))
            for (name, kind), value in zip(columns, key, strict=True)
        )

    def _new_key(self, target: Target, source: tuple[str, ...]) -> tuple[str, ...] | None:
        """The key of a row with one part that is new; None where no part can be made up."""
        table = target.table
        bound = {number for key in table.foreign_keys for number in key.columns}
        for place, column in enumerate(table.key_columns):
            token = self._key_token(column.type)
            if token is not None and column.number not in bound:
                return (*source[:place], token, *source[place + 1 :])
        return None

    def _key_token(self, kind: str) -> str | None:
        return str(UUID(int=self._random.getrandbits(128), version=4)) if kind == "uuid" else self._token(kind)

    def _token_for(self, column: Column, kind: str) -> str | None:
        """A value that both the column's type in the snapshot and its type now can hold; None where there is no telling."""
        token, now = self._token(column.type), self._token(kind)
        return token if token == now or (token and token.isdigit() and now) else None

    def _token(self, kind: str) -> str | None:
        """A value of this type that nobody else writes; None where there is no telling."""
        if kind in {"integer", "bigint", "numeric"}:
            return str(_OFFSET + self._number)
        name, _, size = kind.partition("(")
        if name == "text" or (name == "character varying" and (not size or int(size.rstrip(")[]")) >= 9)):
            return f"w{self._number:08d}" if "[" not in kind else None
        return None

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self._info, autocommit=True, application_name="rollback-rehearsal-writer", options=_OPTIONS
        )
