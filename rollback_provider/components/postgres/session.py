"""Sessions with PostgreSQL: how one is opened, what is fixed in it, how its errors become ours."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg import sql

from rollback_provider.components.postgres.endpoint import refuse_unfit
from rollback_provider.core.errors import (
    BusyError,
    ComponentError,
    ComponentUnavailableError,
    LockedError,
    PermissionDeniedError,
    RollbackError,
    StepFailedError,
)

Session = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")

SETTINGS = {
    "search_path": "pg_catalog",
    "client_encoding": "UTF8",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmloption": "content",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "row_security": "off",
    "synchronize_seqscans": "off",
    "jit": "off",
    "random_page_cost": "1.1",
    "check_function_bodies": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_read_only": "off",
    "client_min_messages": "warning",
}
"""What changes how values are written out, which rows are seen, how rows of a stage are found (by index, which is made for it), or when we
are cut off. With row_security off a policy that would hide rows raises an error instead."""

LOCK_TIMEOUT_MS = 500
"""How long one attempt waits for a lock: whoever queues behind us waits no longer than this."""
PATIENCE_SECONDS = 120.0
"""How long attempts are repeated before a BusyError."""
RETRYABLE = (pg.LockNotAvailable, pg.DeadlockDetected, pg.SerializationFailure)
_LOCK_CLASS = 0x726F6C6C
"""First key of our advisory locks; the second is the database's oid, so one rollback runs in a database at a time."""
_LOCK_SECONDS = 15.0
"""How long a session of a worker that was killed may take to end."""


def open_session(info: str, component: str, *, fixed: bool = True) -> Session:
    """A session in autocommit mode, with :data:`SETTINGS` unless `fixed` is false.

    Raises ComponentUnavailableError without any part of the password, and ConfigurationError for a replica and for a pooler that does
    not keep sessions.
    """
    session = _connect(info, component)
    try:
        with mapped(component):
            refuse_unfit(session, lambda: _connect(info, component), component)
            if fixed:
                fix_settings(session)
    except BaseException:
        session.close()
        raise
    return session


def _connect(info: str, component: str) -> Session:
    try:
        return psycopg.connect(info, autocommit=True, prepare_threshold=None)
    except psycopg.OperationalError as error:
        raise ComponentUnavailableError(
            f"Cannot connect to PostgreSQL: {_one_line(error)}", component=component
        ) from None


def fix_settings(session: Session) -> None:
    """Applies :data:`SETTINGS` to a session, or only to the current transaction where one is open."""
    local = session.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
    calls = [sql.SQL("set_config({}, {}, {})").format(k, v, local) for k, v in SETTINGS.items()]
    session.execute(sql.SQL("select ") + sql.SQL(", ").join(calls))


def identity_of(session: Session) -> str:
    """Names the database itself: cluster and oid. A copy of the cluster has the same."""
    row = session.execute(
        "select system_identifier, (select oid from pg_database where datname = current_database()) from pg_control_system()"
    ).fetchone()
    assert row is not None  # noqa: S101  a function always returns its row
    return f"postgres:{row[0]}/{row[1]}"


@contextmanager
def mapped(component: str, state: str = "", *, executing: bool = False) -> Iterator[None]:
    """Turns the driver's errors into ours; only while a step is executed do they say that executing again continues it."""
    failed = StepFailedError if executing else ComponentError
    try:
        yield
    except RollbackError:
        raise
    except pg.InsufficientPrivilege as error:
        raise PermissionDeniedError(
            _one_line(error),
            component=component,
            state=state,
            next_step="Grant it, or connect as the owner of the objects",
        ) from error
    except (*RETRYABLE, pg.QueryCanceled) as error:
        raise BusyError(_one_line(error), component=component, state=state) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        if error.sqlstate and error.sqlstate[:2] not in {"08", "57", "53"}:
            raise failed(_one_line(error), component=component, state=state) from error
        if (error.sqlstate or "").startswith("53"):
            raise ComponentUnavailableError(
                f"PostgreSQL has run out of a resource: {_one_line(error)}",
                component=component,
                state=state,
                next_step="Give it what it lacks, then try again",
            ) from error
        raise ComponentUnavailableError(
            f"The connection to PostgreSQL was lost or refused: {_one_line(error)}", component=component, state=state
        ) from error
    except psycopg.Error as error:
        raise failed(_one_line(error), component=component, state=state) from error


@contextmanager
def reading(session: Session, tables: Sequence[sql.Identifier], component: str) -> Iterator[str]:
    """One REPEATABLE READ transaction that ends without a trace; gives the id of its exported snapshot.

    Locks `tables` in ACCESS SHARE mode before its snapshot is taken: a table that is rewritten after that would look empty to it.
    Temporary tables may be used in it. It holds back vacuum for as long as it is open. Raises BusyError.
    """

    def begin() -> None:
        session.execute("begin isolation level repeatable read")
        session.execute(sql.SQL("set local lock_timeout = {}").format(LOCK_TIMEOUT_MS))
        for start in range(0, len(tables), 500):
            names = sql.SQL(", ").join(tables[start : start + 500])
            session.execute(sql.SQL("lock table only {} in access share mode").format(names))
        session.execute("set local lock_timeout = 0")

    patiently(begin, session, component, threading.Event())
    try:
        row = session.execute("select pg_export_snapshot()").fetchone()
        assert row is not None  # noqa: S101  a function always returns its row
        yield str(row[0])
    finally:
        if session.info.transaction_status not in {
            psycopg.pq.TransactionStatus.IDLE,
            psycopg.pq.TransactionStatus.UNKNOWN,
        }:
            session.execute("rollback")


@contextmanager
def exclusive(session: Session, component: str) -> Iterator[None]:
    """The advisory lock of the database: one rollback at a time. The server releases it however the session ends."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while not _lock(session):
        if time.monotonic() > deadline:
            raise LockedError(
                f"Another session (pid {_lock_holder(session)}) is migrating this database or rolling it back",
                component=component,
                state="This worker has changed nothing",
                next_step="Wait for it, or end it with pg_terminate_backend, then try again",
            )
        time.sleep(0.5)
    try:
        yield
    finally:
        if session.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            session.execute(
                "select pg_advisory_unlock(%s, oid::int4) from pg_database where datname = current_database()",
                [_LOCK_CLASS],
            )


def sharing(info: str, snapshot: str) -> Session:
    """A session of its own in a read-only transaction that sees an exported snapshot, with :data:`SETTINGS`."""
    session = psycopg.connect(info, autocommit=True, prepare_threshold=None)
    try:
        fix_settings(session)
        session.execute("begin isolation level repeatable read read only")
        session.execute(sql.SQL("set transaction snapshot {}").format(snapshot))
    except BaseException:
        session.close()
        raise
    return session


def patiently(work: Callable[[], T], session: Session, component: str, cancelled: threading.Event) -> T:
    """Repeats `work`, a whole transaction, while it fails for a lock, a deadlock or a serialization failure.

    Waits between attempts grow from 50 ms to 2 s with jitter. Raises BusyError when :data:`PATIENCE_SECONDS` are over.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = 0.05
    while True:
        if cancelled.is_set():
            raise BusyError(
                "Cancelled", component=component, state="What was committed before stays", next_step="Execute again"
            )
        try:
            return work()
        except RETRYABLE as error:
            if not session.closed:
                session.rollback()
            if time.monotonic() + pause > deadline:
                raise BusyError(
                    f"No lock within {PATIENCE_SECONDS:.0f} s: {_one_line(error)}",
                    component=component,
                    state="What was committed before stays; this part has changed nothing",
                ) from error
        cancelled.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311  jitter, not a secret
        pause = min(pause * 2, 2.0)


def _lock(session: Session) -> bool:
    row = session.execute(
        "select pg_try_advisory_lock(%s, oid::int4) from pg_database where datname = current_database()", [_LOCK_CLASS]
    ).fetchone()
    return bool(row and row[0])


def _lock_holder(session: Session) -> int | None:
    row = session.execute(
        "select l.pid from pg_locks l join pg_database d on d.oid = l.database"
        " where l.locktype = 'advisory' and l.classid = %s and l.granted and d.datname = current_database()",
        [_LOCK_CLASS],
    ).fetchone()
    return int(row[0]) if row else None


def _one_line(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error).strip().splitlines()[0]
    return text.replace("\n", " ")
