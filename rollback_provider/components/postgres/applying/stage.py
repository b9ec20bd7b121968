"""Fills the stage of a merge."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from rollback_provider.components.postgres.merge import STAGE
from rollback_provider.components.postgres.session import Session


def fill(session: Session, lines: Iterable[bytes]) -> None:
    """Adds lines to it."""
    with session.cursor().copy(sql.SQL("copy {} from stdin").format(STAGE)) as copy:
        copy.write(b"".join(line + b"\n" for line in lines))


def restage(session: Session, lines: Iterable[bytes]) -> None:
    """Has it hold these lines instead."""
    session.execute(sql.SQL("delete from {}").format(STAGE))
    fill(session, lines)
