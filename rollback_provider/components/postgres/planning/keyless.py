"""Tables without a key: their rows cannot be told apart, so they go back as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from rollback_provider.components.postgres.blocks import Extract, total
from rollback_provider.components.postgres.delta import heap_size
from rollback_provider.components.postgres.horizon import current_xmin, since
from rollback_provider.components.postgres.images import TableDelta
from rollback_provider.components.postgres.lines import read_lines
from rollback_provider.components.postgres.planning.desk import Desk
from rollback_provider.components.postgres.reversal import TableChange
from rollback_provider.components.postgres.rows import texts
from rollback_provider.components.postgres.tables import columns_of, name_of
from rollback_provider.core.base import Json


def reload(desk: Desk, change: TableChange, delta: TableDelta | None) -> Iterator[Json]:
    """A table whose rows cannot be told apart goes back as a whole, if no application has written to it since."""
    if _is_back(desk, change):
        return
    rows = desk.session.execute(
        sql.SQL("select count(*), count(*) filter (where {}) from only {}").format(
            since(desk.situation.since), name_of(change.now)
        )
    ).fetchone()
    expected = delta.rows if delta else desk.situation.base.rows(change.then.oid)
    if not desk.situation.attributes(change.then.oid):
        if desk.situation.policy.ambiguous == "keep":
            return
        desk.refuse_ambiguous(change)
        names = [c.name for c in change.now.columns if not c.generated]
        for lines in read_lines(delta.changed if delta else (), desk.blobs):
            for line in lines:
                row = texts(names, line.split(b"\t"))
                desk.list_ambiguous(change, row, None, row, "a table without a key goes back as a whole")
    elif rows and (rows[1] or rows[0] != expected):
        desk.refusals.append(
            f"table {change.then.scope} has no key by which its rows could be told apart, and applications have written to it "
            "since the checkpoint"
        )
        return
    yield {
        "do": "refill",
        "op": "reload",
        "found": rows[0] if rows else 0,
        "since": current_xmin(desk.session),
        "filenode": change.now.filenode,
        "table": change.then.to_json(),
        "columns": [c.number for c in change.then.stored_columns[len(change.then.key) :]],
        "rows": desk.situation.base.rows(change.then.oid),
    }


def _is_back(desk: Desk, change: TableChange) -> bool:
    """Whether the rows are those of the snapshot already."""
    columns = [change.now.column(change.columns[c.number] or 0) for c in change.then.stored_columns]
    if None in columns:
        return False
    query = sql.SQL("select {} from only {}").format(columns_of(c for c in columns if c), name_of(change.now))
    _, size = heap_size(desk.session, change.now)
    extract = Extract("now", query.as_string(desk.session), size)
    blocks = desk.copier.run([extract], None, desk.progress, f"rows of {change.then.scope}")["now"].blocks
    expected = desk.situation.base.count(change.then.oid)
    return expected == (sum(block.rows for block in blocks), int(total(block.checksum for block in blocks), 16))
