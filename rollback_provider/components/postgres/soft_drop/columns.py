"""Soft drop of a column: what could reject a write of an application that does not know it goes, the values stay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rollback_provider.components.postgres.catalog.sql_text import ident, literal
from rollback_provider.components.postgres.reserved import number_in, reserved
from rollback_provider.components.postgres.soft_drop.parts import Part, family, taken_along
from rollback_provider.components.postgres.soft_drop.statements import Execute, record_of, undone
from rollback_provider.core.errors import UnsupportedError

_COLUMN = """
    select c.oid, c.relpersistence = 't', a.attnum, a.atthasdef, a.attidentity <> '', a.attgenerated <> '',
        format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.oid = to_regclass({table}) and a.attname = {column} and a.attnum > 0 and not a.attisdropped"""


@dataclass(frozen=True)
class _Column:
    table: int
    temporary: bool
    number: int
    has_default: bool
    identity: bool
    generated: bool
    type: str
    comment: str | None


def drop_column(execute: Execute, table: str, column: str, schema: str | None = None) -> str:
    """Soft-drops a column in the transaction that is open; gives its reserved name. See :func:`soft_drop_column`."""
    address = ident(schema, table) if schema else ident(table)
    name = ident(column)
    real_drop = f"alter table {address} drop column {name}"
    rows = execute(_COLUMN.format(table=literal(address), column=literal(column)))
    if not rows:
        execute(real_drop)  # says what is wrong
    found = _Column(*rows[0])
    _refuse(found, f"{address}.{name}", column)
    execute(f"lock table {address} in access exclusive mode")
    tables = family(execute, found.table)
    parts = taken_along(execute, tables, real_drop)
    _refuse_children(execute, tables, column, real_drop)
    if not found.has_default and not found.identity:
        _refuse_domain(execute, found, f"{address}.{name}")
    for part in parts:
        if _stays(part, found, tables):
            execute(part.rename())
        elif part.type != "n" and not part.follows:
            execute(part.drop())
    if not found.identity:
        _lift_not_null(execute, tables, address, name, column)
    new = reserved(found.number, column)
    record = record_of(execute, column, found.comment)
    execute(f"alter table {address} rename column {name} to {ident(new)}")
    execute(f"comment on column {address}.{ident(new)} is {record}")
    return new


def _stays(part: Part, column: _Column, tables: list[int]) -> bool:
    """Whether a part can reject no write: in new rows the column is NULL, or a default that an index does not want to be unique."""
    if part.kind == "index":
        return part.plain and (not part.unique or (len(tables) == 1 and not column.has_default))
    return part.kind == "sequence" or (part.type == "n" and column.identity and not part.follows)


def _refuse(column: _Column, label: str, name: str) -> None:
    if number_in(name) is not None:
        raise UnsupportedError(
            f"Column {label} is soft-dropped already",
            next_step="Drop it for good by accepting its migration: rollbackctl accept",
        )
    if column.temporary:
        raise UnsupportedError(
            f"{label} is in a temporary table, which no snapshot holds", next_step="Drop it for good"
        )
    if column.generated:
        raise UnsupportedError(
            f"Column {label} is generated and holds no values of its own",
            next_step="Drop it for good: a rollback computes it again",
        )


def _refuse_children(execute: Execute, tables: list[int], name: str, real_drop: str) -> None:
    """A child that has the column on its own too keeps it when the parent's is dropped; a rename would take it along."""
    oids = ",".join(map(str, tables))
    with undone(execute):
        execute(real_drop)
        left = execute(
            f"select attrelid::regclass::text from pg_attribute where attrelid in ({oids}) and attname = {literal(name)}"
            " and not attisdropped order by 1"
        )
    if left:
        raise UnsupportedError(
            f"Column {name} would stay in {', '.join(child for (child,) in left)}, which has it on its own as well",
            next_step="Drop it for good",
        )


def _refuse_domain(execute: Execute, column: _Column, label: str) -> None:
    """New rows will have NULL: a domain may not allow that."""
    ((allowed,),) = execute(
        "with recursive d(oid) as (select a.atttypid from pg_attribute a"
        f" where a.attrelid = {column.table} and a.attnum = {column.number}"
        " union all select t.typbasetype from pg_type t join d on d.oid = t.oid where t.typtype = 'd')"
        " select not exists (select from d join pg_type t on t.oid = d.oid where t.typnotnull)"
        " and not exists (select from d join pg_constraint k on k.contypid = d.oid and k.contype = 'c')"
    )
    if not allowed:
        raise UnsupportedError(
            f"Column {label} is of domain {column.type}, which may not allow NULL, and rows written from now on would have that",
            next_step="Give the column a default first, or drop it for good",
        )


def _lift_not_null(execute: Execute, tables: Iterable[int], address: str, name: str, column: str) -> None:
    """Lifts NOT NULL, also where a partition or child has it on its own."""
    execute(f"alter table {address} alter column {name} drop not null")
    for oid in tables:
        left = execute(
            "select quote_ident(n.nspname) || '.' || quote_ident(c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            f" join pg_attribute a on a.attrelid = c.oid where c.oid = {oid} and a.attname = {literal(column)} and a.attnotnull"
        )
        for (child,) in left:
            execute(f"alter table {child} alter column {name} drop not null")
