"""What a query's plan says of indexes, and which of them it has lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rollback_provider.checks.database import Row, fetch
from rollback_provider.core.base import Json
from rollback_provider.core.verification import CheckStatus

if TYPE_CHECKING:
    import psycopg


def used_indexes(session: psycopg.Connection[Row], sql: str) -> dict[str, str]:
    """Indexes that the plan of a query uses, with their schema, and the table of each. The query is not run."""
    _, rows = fetch(session, f"explain (format json, costs off, verbose) {sql}", 1)
    nodes = list(_nodes(rows[0][0][0]["Plan"]))
    tables = {
        node["Index Name"]: (node.get("Schema"), node.get("Relation Name")) for node in nodes if "Index Name" in node
    }
    # A bitmap scan names its table one node further up.
    for node in nodes:
        for child in node.get("Plans", ()):
            for below in _nodes(child):
                if "Index Name" in below and tables[below["Index Name"]][1] is None and "Relation Name" in node:
                    tables[below["Index Name"]] = (node["Schema"], node["Relation Name"])
    return {f"{schema}.{index}": f"{schema}.{table}" for index, (schema, table) in tables.items()}


def lost(session: psycopg.Connection[Row], before: Json, now: Json) -> Iterator[tuple[CheckStatus, str]]:
    """Indexes that the plan used and does not use any more, and why: one that is gone or invalid has failed."""
    for index, table in before.items():
        if index in now:
            continue
        schema, _, name = index.partition(".")
        found = session.execute(
            "select i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid"
            " join pg_namespace n on n.oid = c.relnamespace where n.nspname = %s and c.relname = %s",
            [schema, name],
        ).fetchone()
        if found is None:
            yield CheckStatus.FAILED, f"index {index} of {table} is gone, which the query used"
        elif not found[0]:
            yield CheckStatus.FAILED, f"index {index} of {table} is invalid, which the query used"
        else:
            yield CheckStatus.WARNING, f"index {index} of {table} is there, and the query does not use it any more"


def _nodes(node: Json) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
