"""What it costs to write to a table whose writes are tracked: for applications, and for the migration itself."""

from __future__ import annotations

import statistics
import time

import psycopg
from psycopg import sql

from benchmarks import large_table
from rollback_provider.components.postgres.embedded import Server
from rollback_provider.components.postgres.reserved import marking
from rollback_provider.components.postgres.session import open_session
from rollback_provider.components.postgres.tracking import triggers

DATABASE = "benchmark"
ROWS = 100_000
TURNS = 5
SINGLE = 2_000
BULK = 20_000


def writing_costs(server: Server) -> dict[str, dict[str, float]]:
    """Median microseconds a row, for single-row transactions and for one statement over many rows, by who writes to what."""
    large_table.create(server, DATABASE, ROWS)
    dsn = server.dsn(DATABASE)
    found = {"not tracked": _measured(dsn)}
    with open_session(dsn, "benchmark") as session:
        row = session.execute("select 'public.measurements'::regclass::oid").fetchone()
        assert row is not None  # noqa: S101  a function always returns its row
        oid = int(row[0])
        tables = {oid: sql.Identifier("public", "measurements")}
        triggers.install(session, tables, (), "benchmark", "benchmark")
        found["tracked, an application"] = _measured(dsn)
        found["tracked, the migration"] = _measured(dsn, options=marking("benchmark"))
        triggers.remove(session, "benchmark")
        triggers.install(session, tables, {oid}, "benchmark", "benchmark")
        found["tracked as a whole, an application"] = _measured(dsn)
        triggers.remove(session, "benchmark")
    return found


def _measured(dsn: str, options: str = "") -> dict[str, float]:
    singles, bulks = [], []
    with psycopg.connect(dsn, autocommit=True, options=options) as connection:
        connection.execute("set synchronous_commit = off")  # the disk is not what is compared
        for turn in range(TURNS):
            started = time.perf_counter()
            for key in range(1, SINGLE + 1):
                connection.execute("update measurements set quantity = %s where id = %s", [turn, key])
            singles.append((time.perf_counter() - started) / SINGLE)
            started = time.perf_counter()
            connection.execute("update measurements set quantity = %s where id <= %s", [turn, BULK])
            bulks.append((time.perf_counter() - started) / BULK)
            connection.execute("vacuum measurements")
    return {"single": statistics.median(singles) * 1e6, "bulk": statistics.median(bulks) * 1e6}
