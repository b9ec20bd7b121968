"""Asks PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress
from typing import Any

import psycopg

from rollback_provider.clients.postgres import conninfo
from rollback_provider.core.component import Connection
from rollback_provider.probes.declared import SqlProbe
from rollback_provider.probes.measuring import UnknownError

_GRACE = 0.25
"""Seconds in which the server may end a statement by itself before the line is cut."""


async def ask(probe: SqlProbe, connection: Connection) -> tuple[Any, float]:
    """The number, and the seconds the statement took. Raises UnknownError, TimeoutError."""
    clock = asyncio.get_running_loop()
    deadline = clock.time() + probe.timeout
    try:
        async with asyncio.timeout_at(deadline):
            session = await psycopg.AsyncConnection.connect(conninfo(connection), prepare_threshold=None)
    except psycopg.OperationalError as error:
        raise UnknownError(f"cannot connect to PostgreSQL: {_one_line(error)}") from None
    # Cancelling the call instead would have the driver wait for a server that says nothing any more, with all else in this loop.
    cut = clock.call_at(deadline + _GRACE, _cut, session)
    try:
        return await _scalar(session, probe, deadline - clock.time())
    except psycopg.errors.QueryCanceled:
        raise TimeoutError from None
    except psycopg.Error as error:
        if clock.time() >= deadline:
            raise TimeoutError from None
        raise UnknownError(f"PostgreSQL refuses the query: {_one_line(error)}") from None
    finally:
        cut.cancel()
        await session.close()


async def _scalar(
    session: psycopg.AsyncConnection[tuple[Any, ...]], probe: SqlProbe, within: float
) -> tuple[Any, float]:
    await session.set_read_only(True)
    await session.execute("select set_config('statement_timeout', %s, true)", [f"{max(1, round(within * 1000))}"])
    begun = time.monotonic()
    # In binary the driver uses the protocol that takes one statement alone: no commit that would leave the transaction.
    cursor = session.cursor(binary=True)
    await cursor.execute(probe.query)
    if cursor.description is None or len(cursor.description) != 1:
        raise UnknownError(f"the query gives {len(cursor.description or ())} columns, not one")
    rows = await cursor.fetchmany(2)
    if len(rows) != 1:
        raise UnknownError("the query gives several rows, not one" if rows else "the query gives no row")
    return rows[0][0], time.monotonic() - begun


def _cut(session: psycopg.AsyncConnection[Any]) -> None:
    with socket.socket(fileno=os.dup(session.fileno())) as line, suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _one_line(error: psycopg.Error) -> str:
    return " ".join((error.diag.message_primary or str(error)).split()) or type(error).__name__
