"""Converting a column back to the type that it had."""

from __future__ import annotations

from dataclasses import dataclass

from rollback_provider.components.postgres.catalog import Catalog, Entry
from rollback_provider.components.postgres.catalog.sql_text import ident, literal
from rollback_provider.components.postgres.reverse.changes import Changes
from rollback_provider.components.postgres.tables import Table

_STRINGS = frozenset({"text", "character varying", "character", "name", '"char"'})
_LIMITED = {
    "character varying": ('pg_catalog."varchar"', "character varying"),
    "character": ("pg_catalog.bpchar", "bpchar"),
    "bit": ('pg_catalog."bit"', "bit varying"),
    "bit varying": ("pg_catalog.varbit", "bit varying"),
}
"""Types whose explicit cast cuts off silently: the function that raises instead, and the type that it takes."""


@dataclass(frozen=True)
class Retyped:
    """A column whose type differs now.

    :param oid: of the snapshot's table
    :param number: attnum of the snapshot's column
    :param table: the table as it is now
    :param column: the column's name now
    :param type: SQL text of the type in the snapshot
    :param expression: SQL over that column, as the schema is now, that fails on a row exactly where the conversion would
    :param by_text: the conversion keeps the value's text, because the snapshot's type is not there any more; `expression` only probes
    """

    oid: int
    number: int
    table: Table
    column: str
    type: str
    expression: str
    by_text: bool


def retyped_columns(changes: Changes) -> list[Retyped]:
    """All columns that a reversal converts, in tables that hold rows."""
    tables = {table.oid: table for table in changes.now.tables()}
    found = []
    for ref in sorted(changes.retyped):
        then = changes.then.by_ref[ref]
        now = changes.now.by_ref[changes.matching.to_now[ref]]
        if now.ref[1] in tables:
            expression = probe(changes, then, now)
            types = [changes.then.by_ref.get(of_type) for of_type in then.refs.get("type", ())]
            by_text = any(of_type is not None and changes.created(of_type.ref) for of_type in types)
            found.append(
                Retyped(ref[1], ref[2], tables[now.ref[1]], now.name[2], then.facts["type"], expression, by_text)
            )
    return found


def probe(changes: Changes, then: Entry, now: Entry) -> str:
    """SQL that fails where the conversion of the column would; its types are those that are there now."""
    for ref in then.refs.get("type", ()):
        of_type = changes.then.by_ref.get(ref)
        if of_type is not None and changes.created(ref):
            column = ident(now.name[2])
            if of_type.kind == "enum" and not then.extra.get("array"):
                labels = ", ".join(map(literal, of_type.facts["labels"]))
                return f"1 / (({column})::text = any (array[{labels}]::text[]))::int"
            return f"({column})::text"
    return conversion(changes.now, then, now, now.name[2])


def conversion(catalog: Catalog, then: Entry, now: Entry, column: str, *, swapped: bool = False) -> str:
    """SQL that converts the column of this name: by the cast that an assignment would use, by an explicit one, or through text.

    :param swapped: the type itself is another one of the same name, so that no cast is known
    """
    value, target = ident(column), then.facts["type"]
    base, source = _base(then), _base(now)
    casts = {(one, other) for one, other, _ in catalog.casts}
    if swapped:
        return f"({value})::text::{target}"
    element = (base.removesuffix("[]"), source.removesuffix("[]"))
    alike = base.endswith("[]") == source.endswith("[]")
    direct = (
        base == source
        or (alike and (element[0] == element[1] or (element[1], element[0]) in casts))
        or base in _STRINGS
    )
    if base in _LIMITED and then.extra.get("typmod", -1) >= 0:
        function, taken = _LIMITED[base]
        inner = value if base == source else f"({value})::text::{taken}"
        return f"{function}({inner}, {then.extra['typmod']}, false)"
    return f"({value})::{target}" if direct or source in _STRINGS else f"({value})::text::{target}"


def _base(column: Entry) -> str:
    """Name of the type without modifier; of a domain's base type."""
    if "base" in column.extra:
        return str(column.extra["base"])
    text = str(column.facts["type"])
    if column.extra.get("typmod", -1) >= 0 and "(" in text:
        head, _, tail = text.partition("(")
        text = head + tail.partition(")")[2]
    return text
