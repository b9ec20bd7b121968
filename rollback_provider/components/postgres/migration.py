"""Runs a migration so that a rollback can tell its changes from everybody else's, exactly.

The migration runs in one REPEATABLE READ transaction. In its snapshot, before it changes anything, the store's
snapshot is caught up with what applications wrote since it was taken; and before it commits, what it changed is
recorded, as it alone can see it. Whatever applications write meanwhile belongs to neither. Where they write to a row
that the migration writes too, PostgreSQL refuses one of them (SQLSTATE 40001): the migration then fails without a
trace and is simply run again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

import psycopg
from psycopg import sql

from rollback_provider.components.postgres.component import PostgresComponent
from rollback_provider.components.postgres.copier import Copier
from rollback_provider.components.postgres.horizon import transactions_in
from rollback_provider.components.postgres.images import save_deltas
from rollback_provider.components.postgres.reserved import SNAPSHOT_SETTING
from rollback_provider.components.postgres.session import (
    LOCK_TIMEOUT_MS,
    SETTINGS,
    Session,
    exclusive,
    fix_settings,
    mapped,
    open_session,
    patiently,
)
from rollback_provider.components.postgres.tables import Table
from rollback_provider.components.postgres.view import View, catalog_of
from rollback_provider.core.capturer import RecordingBlobs, seal_checkpoint
from rollback_provider.core.component import ConnectionResolver, Progress
from rollback_provider.core.errors import ConfigurationError, DriftError
from rollback_provider.core.model import Attribution, Checkpoint, ComponentState
from rollback_provider.core.registry import build
from rollback_provider.core.repository import Repository, Store

_UNDONE = "The migration was rolled back; nothing was changed"


@contextmanager
def observe(
    store: Store,
    snapshot_id: str,
    component: str,
    connections: ConnectionResolver,
    progress: Progress,
    *,
    actor: str,
    alter: Sequence[str] = (),
    lock: Sequence[str] = (),
) -> Iterator[Session]:
    """Gives a connection inside the migration's transaction; seals the checkpoint and commits when the block ends well.

    The block must not commit or roll back itself. An exception in it rolls everything back, as does anything that
    goes wrong with the checkpoint. One checkpoint is sealed before the block, which says that the migration has
    changed nothing; it holds wherever the block fails or its worker is killed. The other is sealed before the commit:
    should the commit fail, it describes a migration that never was, and a rollback finds nothing to do.

    :param component: name of the PostgreSQL component in the snapshot
    :param alter: tables whose definition the migration changes, as ``name`` or ``schema.name``: nobody else reads or writes them from
        the beginning. A table that is dropped, loses a column or is rewritten (as by most changes of a type) must be named. For any
        other ALTER it is wise: PostgreSQL locks the table for it all the same, and a transaction that has read the table and waits to
        write to it would then deadlock with the migration.
    :param lock: tables of which only rows are changed: writers wait from the beginning, readers do not. Without it an application that
        writes to the same row at the same time fails the migration, which must then be run again.

    Raises NotFoundError, ConfigurationError, DriftError where the schema has changed since the snapshot, and the
    driver's own errors from the block.
    """
    snapshot = Repository(store).snapshot(snapshot_id)
    states = {state.spec.name: state for state in snapshot.components}
    if component not in states or states[component].spec.kind != PostgresComponent.kind:
        raise ConfigurationError(f"Snapshot {snapshot_id} has no PostgreSQL component {component!r}")
    before = states[component]
    earlier = Repository(store).checkpoints(snapshot_id)
    database = cast(PostgresComponent, build(before.spec, connections))
    blobs = RecordingBlobs(store)
    session = open_session(database.info, component, fixed=False)
    try:
        with exclusive(session, component):
            view = View(before.spec, session, Copier(session, "", None, component), blobs, progress)
            with mapped(component):
                _refuse_second_run(session, earlier, component)
                patiently(partial(_begin, session, alter, lock), session, component, threading.Event())
                with _fixed(session):
                    caught_up = view.catch_up(before)
                own = _transaction(session)
                held = _locked(session)
            if caught_up.payload["fingerprint"] != before.payload["fingerprint"]:
                raise DriftError(
                    "The schema has changed since the snapshot was taken",
                    component=component,
                    next_step="Take a new snapshot, then migrate",
                )

            def seal(state: ComponentState, attribution: Attribution, xids: Sequence[int] = (own,)) -> Checkpoint:
                payload = state.payload | {"catchUp": caught_up.payload["deltas"], "own": list(xids)}
                sealed = state.model_copy(update={"blobs": tuple(blobs.written), "payload": payload})
                return seal_checkpoint(store, snapshot, (sealed,), attribution, actor=actor)

            # Until the commit this is the truth, also for a worker that is killed: the migration has changed nothing.
            unchanged = caught_up.model_copy(update={"payload": caught_up.payload | {"deltas": save_deltas([], blobs)}})
            seal(unchanged, Attribution.TRANSACTION)
            session.execute("select set_config(%s, %s, true)", [SNAPSHOT_SETTING, snapshot_id])
            yield session
            if not _still_in(session, own):
                seal(unchanged, Attribution.UNKNOWN)
                raise ConfigurationError(
                    "The migration has ended its transaction itself",
                    component=component,
                    state="What it committed stays, and cannot be told from what applications wrote",
                    next_step="Leave commit and rollback to the block",
                )
            with mapped(component, _UNDONE):
                with _fixed(session):
                    after = view.changes(before, caught_up=caught_up)
                    xids = transactions_in(session, own)
                _refuse_rewritten(store, caught_up, after, held, component)
                checkpoint = seal(after, Attribution.TRANSACTION, xids)
                session.execute("commit")
            progress.message(f"{component}: migrated; checkpoint {checkpoint.id}")
    finally:
        session.close()


def _begin(session: Session, alter: Sequence[str], lock: Sequence[str]) -> None:
    """Begins the transaction, and has the locks before its snapshot is taken, so that it sees what was written until then.

    A lock is taken at once in the mode that is needed in the end: one that grows deadlocks with whoever has read the table and writes next.
    """
    session.execute("begin isolation level repeatable read")
    timeout = session.execute("show lock_timeout").fetchone()
    session.execute(sql.SQL("set local lock_timeout = {}").format(LOCK_TIMEOUT_MS))
    for tables, mode in ((alter, "access exclusive"), (lock, "share row exclusive")):
        if tables:
            names = sql.SQL(", ").join(sql.Identifier(*name.split(".")) for name in tables)
            session.execute(sql.SQL("lock table {} in {} mode").format(names, sql.SQL(mode)))
    session.execute(sql.SQL("set local lock_timeout = {}").format(timeout[0] if timeout else "0"))


def _refuse_second_run(session: Session, checkpoints: Sequence[Checkpoint], component: str) -> None:
    """Raises ConfigurationError where this snapshot's migration has been committed: its writes would count as applications'."""
    for checkpoint in checkpoints:
        for state in checkpoint.components:
            if state.spec.name != component:
                continue
            own = [str(xid) for xid in state.payload["own"] or ()]
            row = session.execute(
                "select xid from unnest(%s::text[]) xid where pg_xact_status(xid::xid8) = 'committed' limit 1", [own]
            ).fetchone()
            if row:
                raise ConfigurationError(
                    f"This snapshot's migration has been committed already (transaction {row[0]})",
                    component=component,
                    state="What it has changed stays, and is known",
                    next_step="Roll it back, or take a new snapshot for the next migration",
                )


def _locked(session: Session) -> frozenset[int]:
    """Tables that nobody else can have written to since the transaction's snapshot."""
    rows = session.execute(
        "select relation from pg_locks where pid = pg_backend_pid() and locktype = 'relation'"
        " and mode in ('AccessExclusiveLock', 'ShareRowExclusiveLock')"
    ).fetchall()
    return frozenset(oid for (oid,) in rows)


def _refuse_rewritten(
    store: Store, before: ComponentState, after: ComponentState, held: frozenset[int], component: str
) -> None:
    """DDL works on the newest rows, and the checkpoint sees only those of the migration's snapshot.

    What applications wrote in between is gone with a dropped table or column, and bears the migration's stamp in a rewritten table.
    """
    then, now = (catalog_of(state, store).tables() for state in (before, after))
    found = {table.oid: table for table in now}
    names = [table.scope for table in then if table.oid not in held and _loses_rows(table, found.get(table.oid))]
    if names:
        raise ConfigurationError(
            f"The migration has rewritten or dropped {', '.join(names)} or columns of it, and applications could write to it meanwhile",
            component=component,
            state=_UNDONE,
            next_step=f"Name it, so that they wait: alter={names!r}",
        )


def _loses_rows(then: Table, now: Table | None) -> bool:
    """Whether DDL has rewritten a table, or dropped it or a column of it."""
    return (
        now is None
        or now.filenode != then.filenode
        or not {c.number for c in then.columns} <= {c.number for c in now.columns}
    )


def _transaction(session: Session) -> int:
    row = session.execute("select pg_current_xact_id()::text::bigint").fetchone()
    assert row is not None  # noqa: S101  a function always returns its row
    return int(row[0])


def _still_in(session: Session, own: int) -> bool:
    """Whether the migration has stayed in its transaction."""
    return session.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS and _transaction(session) == own


@contextmanager
def _fixed(session: Session) -> Iterator[None]:
    """Our settings for the length of the block, then the migration's own again."""
    names = list(SETTINGS)
    shown = session.execute(
        sql.SQL("select {}").format(sql.SQL(", ").join(sql.SQL("current_setting({})").format(name) for name in names))
    ).fetchone()
    fix_settings(session)
    yield
    calls = [
        sql.SQL("set_config({}, {}, true)").format(name, value) for name, value in zip(names, shown or (), strict=True)
    ]
    session.execute(sql.SQL("select ") + sql.SQL(", ").join(calls))
