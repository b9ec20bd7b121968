"""Soft drop of a table: it stays where it is under a reserved name, with its rows, indexes and triggers.

Not in a schema of its own: that would take a privilege on the database, and lie outside the ``schemas`` that a snapshot holds.
"""

from __future__ import annotations

from dataclasses import dataclass

from rollback_provider.components.postgres.catalog.sql_text import ident, literal
from rollback_provider.components.postgres.reserved import number_in, reserved
from rollback_provider.components.postgres.soft_drop.parts import family, taken_along
from rollback_provider.components.postgres.soft_drop.statements import Execute, record_of
from rollback_provider.core.errors import UnsupportedError

_TABLE = """
    select c.oid, n.nspname, c.relkind in ('r', 'p'), c.relpersistence = 't', c.relispartition, obj_description(c.oid, 'pg_class')
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass({table})"""


@dataclass(frozen=True)
class _Table:
    oid: int
    schema: str
    is_table: bool
    temporary: bool
    partition: bool
    comment: str | None


def drop_table(execute: Execute, table: str, schema: str | None = None) -> str:
    """Soft-drops a table in the transaction that is open; gives its reserved name. See :func:`soft_drop_table`."""
    address = ident(schema, table) if schema else ident(table)
    real_drop = f"drop table {address}"
    rows = execute(_TABLE.format(table=literal(address)))
    if not rows or not rows[0][2]:
        execute(real_drop)  # says what is wrong
    found = _Table(*rows[0])
    _refuse(found, table, address)
    execute(f"lock table {address} in access exclusive mode")
    tables = family(execute, found.oid)
    parts = taken_along(execute, tables, real_drop)
    _cut_off(execute, found, address)
    for drop in _references(execute, tables):
        execute(drop)
    for part in parts:
        if part.oid != found.oid and part.kind != "constraint":
            execute(part.rename())
    new = reserved(found.oid, table)
    record = record_of(execute, table, found.comment)
    execute(f"alter table {address} rename to {ident(new)}")
    execute(f"comment on table {ident(found.schema, new)} is {record}")
    return new


def _refuse(table: _Table, name: str, address: str) -> None:
    if number_in(name) is not None:
        raise UnsupportedError(
            f"Table {address} is soft-dropped already",
            next_step="Drop it for good by accepting its migration: rollbackctl accept",
        )
    if table.temporary:
        raise UnsupportedError(f"{address} is a temporary table, which no snapshot holds", next_step="Drop it for good")


def _cut_off(execute: Execute, table: _Table, address: str) -> None:
    """Takes the table out of what it is a partition or a child of: its rows must not be seen there any more."""
    parents = execute(
        "select quote_ident(n.nspname) || '.' || quote_ident(p.relname) from pg_inherits join pg_class p on p.oid = inhparent"
        f" join pg_namespace n on n.oid = p.relnamespace where inhrelid = {table.oid} order by inhseqno"
    )
    for (parent,) in parents:
        execute(
            f"alter table {parent} detach partition {address}"
            if table.partition
            else f"alter table {address} no inherit {parent}"
        )


def _references(execute: Execute, tables: list[int]) -> list[str]:
    """Drops of foreign keys to other tables, whose rows could not be deleted otherwise."""
    oids = ",".join(map(str, tables))
    rows = execute(
        "select format('alter table %I.%I drop constraint %I', n.nspname, c.relname, k.conname)"
        " from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace"
        f" where k.contype = 'f' and k.conrelid in ({oids}) and k.confrelid not in ({oids}) and k.conparentid = 0 order by 1"
    )
    return [statement for (statement,) in rows]
