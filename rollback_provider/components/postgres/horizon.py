"""Moments of a database, told by transaction ids: which rows were written after one."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from rollback_provider.components.postgres.session import Session

REACH = 1_000_000_000
"""Transactions after which xmin is not trusted any more; ids wrap at 2**31."""


@dataclass(frozen=True)
class Horizon:
    """A moment, by transaction ids.

    :param xmin: every older transaction had ended by then
    :param own: the migration's own transaction where the moment lies inside it: its rows are older than the moment
        all the same
    """

    xmin: int
    own: int | None = None


def since(horizon: Horizon) -> sql.Composed:
    """Condition on rows: written after the horizon, or possibly so."""
    newer = sql.SQL("age(xmin) <= age({}::xid)").format(sql.Literal(str(horizon.xmin % 2**32)))
    if horizon.own is None:
        return newer
    return sql.SQL("({} and xmin <> {}::xid)").format(newer, sql.Literal(str(horizon.own % 2**32)))


def current_xmin(session: Session) -> int:
    """The horizon of the current transaction's snapshot: every older transaction is seen by it or never will be."""
    row = session.execute("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint").fetchone()
    assert row is not None  # noqa: S101  a function always returns its row
    return int(row[0])
