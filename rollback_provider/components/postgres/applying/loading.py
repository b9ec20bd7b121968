"""Brings whole tables back: dropped ones, and those without a key."""

from __future__ import annotations

from psycopg import sql

from rollback_provider.components.postgres.actions import lines_of, merge_of, table_of
from rollback_provider.components.postgres.applying.bench import Bench
from rollback_provider.components.postgres.applying.ddl import Ddl
from rollback_provider.components.postgres.applying.writing import RowWriter
from rollback_provider.components.postgres.horizon import Horizon, since
from rollback_provider.components.postgres.reversal import Statement
from rollback_provider.components.postgres.tables import loaded, name_of
from rollback_provider.core.base import Json
from rollback_provider.core.errors import DriftError


def recreate(bench: Bench, ddl: Ddl, action: Json) -> None:
    """Creates a table, loads its rows, and gives it its key and indexes."""
    table = table_of(action)
    ddl.run([Statement(**statement) for statement in action["create"]])
    done = 0
    query = sql.SQL("copy {} from stdin").format(loaded(table))
    with bench.session.cursor().copy(query) as copy:
        for lines in bench.base.lines(table.oid):
            if lines:
                copy.write(b"\n".join(lines) + b"\n")
                done += len(lines)
                bench.progress.update(f"rows back in {table.scope}", done=done, total=action["rows"])
    bench.tally.count("brought back", done)
    ddl.run([Statement(**statement) for statement in action["complete"]])


def reload(bench: Bench, action: Json) -> None:
    """Replaces the rows of a table without a key, if they are still those that the plan has seen. Raises DriftError."""
    merge = merge_of(action)
    table = name_of(merge.table)
    bench.session.execute(sql.SQL("lock table only {} in access exclusive mode").format(table))
    query = sql.SQL("select count(*), count(*) filter (where {}) from only {}").format(
        since(Horizon(action["since"])), table
    )
    row = bench.session.execute(query).fetchone()
    if (
        row is None
        or row[0] != action["found"]
        or (row[1] and not _rewritten(bench, merge.table.oid, action["filenode"]))
    ):
        raise DriftError(
            f"Applications have written to {merge.table.scope}, which has no key to tell their rows by, since the plan was made",
            component=bench.component,
            state="This transaction was undone; what was committed before it stays",
            next_step="Stop the applications, abandon this rollback and generate it again",
        )
    RowWriter(bench).reload(merge, (line for part in lines_of(action, bench.base, bench.blobs) for line in part))


def _rewritten(bench: Bench, oid: int, filenode: int) -> bool:
    """Whether this rollback has rewritten the table since it was planned, so that all its rows look new."""
    row = bench.session.execute("select relfilenode from pg_class where oid = %s", [oid]).fetchone()
    return row is None or row[0] != filenode
