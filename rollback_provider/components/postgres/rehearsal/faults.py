"""Faults of a server, made from outside: sessions and statements that end, locks that are held, an index half built, a full disk."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql

from rollback_provider.components.postgres.rehearsal.scratch import Scratch
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Table, name_of
from rollback_provider.core.component import Component
from rollback_provider.core.errors import ComponentUnavailableError

_PATIENCE = 10.0
"""Seconds within which a statement must come to wait."""
_RECOVERY = 60.0
"""Seconds within which a server that crashed must be there again."""
_PAGE = 8192
_TABLES = """
    select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"""
_WAITING = """
    select a.pid from pg_stat_activity a where a.datname = current_database() and a.application_name = 'rollback-provider'
    and a.wait_event_type = 'Lock' and pg_backend_pid() = any(pg_blocking_pids(a.pid))"""


class HeldLocks:
    """SHARE locks on all tables: a writer and whoever alters a table must wait, readers need not."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def strike(self, how: Literal["kill", "cancel", "cut", "release"], executing: Component | None) -> bool:
        """Strikes the statement that waits; see :class:`~rollback_provider.core.rehearsal.copies.Hold`."""
        try:
            pid = self._waiter()
            if pid is None:
                return False
            if how == "release":
                time.sleep(1.2)  # longer than one attempt of the rollback waits
            elif how == "cut":
                return _cut(executing)
            else:
                end = {"kill": "pg_terminate_backend", "cancel": "pg_cancel_backend"}[how]
                self._session.execute(sql.SQL("select {}({})").format(sql.Identifier(end), pid))
            return True
        finally:
            self._session.close()

    def _waiter(self) -> int | None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            row = self._session.execute(_WAITING).fetchone()
            if row:
                return int(row[0])
            time.sleep(0.01)
        return None


class PostgresFaults:
    """Faults of one copy; see :class:`~rollback_provider.core.rehearsal.copies.Faults`."""

    def __init__(self, scratch: Scratch, database: str, tables: tuple[Table, ...]) -> None:
        self._scratch = scratch
        self._database = database
        self._tables = tables

    def hold(self) -> HeldLocks:
        """Takes locks on all tables."""
        session = self._scratch.session(self._database)
        session.execute("set lock_timeout = '2s'")
        names = [sql.Identifier(*row) for row in session.execute(_TABLES)]
        deadline = time.monotonic() + _PATIENCE
        while names:
            try:
                session.execute("begin")
                session.execute(sql.SQL("lock table {} in share mode").format(sql.SQL(", ").join(names)))
                break
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                session.execute("rollback")
                if time.monotonic() > deadline:
                    break
        return HeldLocks(session)

    def leave_half_applied(self) -> bool:
        """An index that was being built beside writers when it was cancelled: it stays, and is not valid."""
        with self._scratch.session(self._database) as looking:
            there = {tuple(row) for row in looking.execute(_TABLES)}
            table = next((t for t in self._tables if (t.schema, t.name) in there and t.columns), None)
            if table is None:
                return False
            with self._scratch.session(self._database) as writing, self._scratch.session(self._database) as building:
                writing.execute(sql.SQL("begin; lock table only {} in row exclusive mode").format(name_of(table)))
                pid = building.info.backend_pid
                thread = threading.Thread(target=_build, args=[building, table], daemon=True)
                thread.start()
                deadline = time.monotonic() + _PATIENCE
                while thread.is_alive() and time.monotonic() < deadline:
                    looking.execute(
                        "select pg_cancel_backend(pid) from pg_stat_activity where pid = %s and wait_event_type = 'Lock'",
                        [pid],
                    )
                    thread.join(0.02)
                writing.execute("rollback")
                thread.join()
            row = looking.execute("select count(*) from pg_index where not indisvalid").fetchone()
            return bool(row and row[0])

    @contextmanager
    def fill_disk(self) -> Iterator[bool]:
        """No session that is open can write to the server's log. Only on a server of our own: it crashes, and recovers."""
        if not self._scratch.own:
            yield False
            return
        with self._scratch.session(self._database) as session:
            row = session.execute(
                "select pg_current_wal_lsn() - '0/0', setting::int8, current_setting('data_directory')"
                " from pg_settings where name = 'wal_segment_size'"
            ).fetchone()
        assert row is not None  # noqa: S101  it always has one
        limit = int(row[0]) % int(row[1]) // _PAGE * _PAGE
        postmaster = int((Path(row[2]) / "postmaster.pid").read_text().splitlines()[0])
        try:
            yield _limit(_children(postmaster), limit, Path(f"/proc/{postmaster}").stat())
        finally:
            self._wait_for_recovery()

    def _wait_for_recovery(self) -> None:
        deadline = time.monotonic() + _RECOVERY
        while True:
            try:
                self._scratch.session(self._database).close()
            except ComponentUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


def _build(session: Session, table: Table) -> None:
    column = sql.Identifier((table.key_columns or table.columns)[0].name)
    with suppress(psycopg.Error):
        session.execute(sql.SQL("create index concurrently rollback_drill on {} ({})").format(name_of(table), column))


def _cut(executing: Component | None) -> bool:
    """Ends the connection below the client library: neither side is told."""
    session: Session | None = getattr(executing, "_session", None)
    if session is None or session.closed:
        return False
    with socket.socket(fileno=os.dup(session.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
    return True


def _children(postmaster: int) -> list[int]:
    found: list[int] = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError, ValueError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == postmaster:
                found.append(int(status.parent.name))
    return found


def _limit(pids: Iterable[int], size: int, owner: os.stat_result) -> bool:
    """Has processes find no space beyond a place in any file; says whether that can be done here.

    Another process of their owner's does it: even root may not where the machine has taken that privilege away.
    """
    program = shutil.which("prlimit")  # of util-linux
    if program is None:
        return False
    as_user: dict[str, Any] = {}
    if os.geteuid() != owner.st_uid:
        as_user = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    commands = ([program, "--pid", str(pid), f"--fsize={size}:"] for pid in pids)
    done = [subprocess.run(each, check=False, capture_output=True, **as_user) for each in commands]  # noqa: S603  numbers alone
    return any(each.returncode == 0 for each in done)
