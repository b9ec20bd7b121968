"""What stands at the other end of a connection: a server that can be changed, in a session of our own, or it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, LiteralString

from psycopg import Connection

from rollback_provider.core.errors import ConfigurationError

_PROBES = 3
"""How often a pooler is tried: other clients may get in between."""


def refuse_unfit(session: Connection[Any], connect: Callable[[], Connection[Any]], component: str) -> None:
    """Raises ConfigurationError for a replica, and for a pooler that does not keep sessions. Leaves no setting behind.

    :param connect: opens another session in the same way
    """
    if _value(session, "select pg_is_in_recovery()"):
        raise ConfigurationError(
            "The server is a replica in recovery: nothing can be taken back there",
            component=component,
            next_step="Point the connection at the primary, or wait until this one has been promoted",
        )
    if _is_shared(session, connect):
        raise ConfigurationError(
            "The connection goes through a pooler in transaction mode; locks, settings and snapshots need a session",
            component=component,
            next_step="Connect to the server itself, or to a pool in session mode",
        )


def _is_shared(session: Connection[Any], connect: Callable[[], Connection[Any]]) -> bool:
    """Whether transactions of one client may run in several of the server's sessions.

    A pooler answers a client before it has a session for it, so the pid that it gives is not the one that the server tells. It keeps
    sessions if ours, however idle, is never lent to another client and never becomes another.
    """
    if _pid(session) == session.info.backend_pid:
        return False
    for _ in range(_PROBES):
        with connect() as other:
            mine = _pid(session)
            other.execute("begin")
            shared = _pid(other) == mine or _pid(session) != mine
            other.execute("rollback")
        if shared:
            return True
    return False


def _pid(session: Connection[Any]) -> int:
    return int(_value(session, "select pg_backend_pid()"))


def _value(session: Connection[Any], query: LiteralString) -> Any:
    row = session.execute(query).fetchone()
    assert row is not None  # noqa: S101  a function always returns its row
    return row[0]
