"""Moments of a database, told by transaction ids: which rows were written after one."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from rollback_provider.components.postgres.session import Session
from rollback_provider.core.model import Json

REACH = 1_000_000_000
"""Transactions after which xmin is not trusted any more; ids wrap at 2**31."""


@dataclass(frozen=True)
class Horizon:
    """A moment, by transaction ids.

    :param xmin: every older transaction had ended by then
    :param own: the migration's own transactions where the moment lies before or inside them: their rows are older than
        the moment all the same
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


def since(horizon: Horizon) -> sql.Composed:
    """Condition on rows: written after the horizon, or possibly so."""
    newer = sql.SQL("age(xmin) <= age({}::xid)").format(sql.Literal(str(horizon.xmin % 2**32)))
    if not horizon.own:
        return newer
    own = [str(xid % 2**32) for xid in horizon.own]
    return sql.SQL("({} and xmin <> all ({}::text[]::xid[]))").format(newer, sql.Literal(own))


def current_xmin(session: Session) -> int:
    """The horizon of the current transaction's snapshot: every older transaction is seen by it or never will be."""
    row = session.execute("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint").fetchone()
    assert row is not None  # noqa: S101  a function always returns its row
    return int(row[0])
