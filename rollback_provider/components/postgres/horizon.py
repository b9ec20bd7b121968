"""Moments of a database, told by transaction ids: which rows were written after one."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from rollback_provider.components.postgres.session import Session
from rollback_provider.core.base import Json

REACH = 1_000_000_000
"""Transactions after which xmin is not trusted any more; ids wrap at 2**31."""


@dataclass(frozen=True)
class Horizon:
    """A moment, by transaction ids.

    :param xmin: every older transaction had ended by then
    :param own: the migration's own transactions, subtransactions included, where the moment lies before or inside them: their rows
        are older than the moment all the same
    """

    xmin: int
    own: tuple[int, ...] = ()

    @classmethod
    def of(cls, payload: Json) -> Horizon:
        """The moment of a checkpoint, or from what `to_json` gave."""
        return cls(payload["xmin"], tuple(payload["own"] or ()))

    def to_json(self) -> Json:
        """As plain JSON."""
        return {"xmin": self.xmin, "own": list(self.own)}


def since(horizon: Horizon, alias: str | None = None) -> sql.Composed:
    """Condition on rows: written after the horizon, or possibly so."""
    xmin = sql.Identifier(alias, "xmin") if alias else sql.Identifier("xmin")
    # In a subquery the age of the horizon is computed once, not for each row.
    newer = sql.SQL("age({}) <= (select age({}::xid))").format(xmin, sql.Literal(str(horizon.xmin % 2**32)))
    if not horizon.own:
        return newer
    own = f"{{{','.join(str(xid % 2**32) for xid in horizon.own)}}}"
    # Not as `<> all`: before PostgreSQL 15 that is no hash table, and a migration may have many subtransactions.
    return sql.SQL("({} and ({} = any ({}::xid[])) is not true)").format(newer, xmin, sql.Literal(own))


def current_xmin(session: Session) -> int:
    """The horizon of the current transaction's snapshot: every older transaction is seen by it or never will be."""
    row = session.execute("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint").fetchone()
    assert row is not None  # noqa: S101  a function always returns its row
    return int(row[0])


def transactions_in(session: Session, own: int) -> list[int]:
    """The current transaction's id, `own`, and those of its subtransactions that have written rows: savepoints, and exception blocks.

    Nobody else's rows of a transaction that is in progress can be seen, so those that can be seen are its own. It has written only
    to tables on which it holds the lock for that.
    """
    tables = session.execute(
        "select distinct n.nspname, c.relname from pg_locks l join pg_class c on c.oid = l.relation"
        " join pg_namespace n on n.oid = c.relnamespace where l.pid = pg_backend_pid() and l.locktype = 'relation'"
        " and l.database = (select oid from pg_database where datname = current_database()) and c.relkind = 'r'"
        " and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
        " and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')"
    ).fetchall()
    found: set[int] = set()
    for schema, name in tables:
        query = sql.SQL("select distinct xmin::text::bigint from only {} where age(xmin) <= age({}::xid)").format(
            sql.Identifier(schema, name), sql.Literal(str(own % 2**32))
        )
        found.update(own + (xid - own) % 2**32 for (xid,) in session.execute(query))
    stop = _next_transaction(session, own)
    rows = session.execute(
        "select xid from unnest(%s::bigint[]) xid where pg_xact_status(xid::text::xid8) = 'in progress'",
        [[xid for xid in found if xid < stop]],
    ).fetchall()
    return sorted({own, *(xid for (xid,) in rows)})


def _next_transaction(session: Session, own: int) -> int:
    """An id beyond all that the current transaction has: the one that a subtransaction gets now."""
    session.execute("savepoint rollback_next; create temporary table rollback_next ()")
    row = session.execute(
        "select xmin::text::bigint from pg_class where oid = 'pg_temp.rollback_next'::regclass"
    ).fetchone()
    session.execute("rollback to savepoint rollback_next; release savepoint rollback_next")
    assert row is not None  # noqa: S101  it has just been made
    return own + (int(row[0]) - own) % 2**32
