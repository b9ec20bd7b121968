"""Converting a column back to the type that it had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rollback_provider.components.postgres.catalog import Catalog, Entry, Ref
from rollback_provider.components.postgres.catalog.sql_text import ident, literal
from rollback_provider.components.postgres.reverse.changes import Changes
from rollback_provider.components.postgres.reverse.labels import Labels, labels_of
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
    """A column whose type differs now, or only the names of the labels of its type.

    :param oid: of the snapshot's table
    :param number: attnum of the snapshot's column
    :param table: the table as it is now
    :param column: the column's name now
    :param type: SQL text of the type in the snapshot
    :param expression: SQL over that column, as the schema is now, that fails on a row exactly where the conversion would; None where
        it keeps its type
    :param by_text: the conversion keeps the value's text, because the snapshot's type is not there any more; `expression` only probes
    :param labels: labels of its values that have been renamed
    """

    oid: int
    number: int
    table: Table
    column: str
    type: str
    expression: str | None
    by_text: bool
    labels: Labels | None = None

    @property
    def as_then(self) -> str:
        """SQL over that column for its value, or the value's text, as it reads when everything is back."""
        return self.labels.as_then(ident(self.column)) if self.labels else self.expression or ident(self.column)


def retyped_columns(changes: Changes) -> list[Retyped]:
    """All columns that a reversal converts, or whose labels it renames, in tables that hold rows."""
    tables = {table.oid: table for table in changes.now.tables()}
    found = []
    for ref, labels in _columns(changes):
        then = changes.then.by_ref[ref]
        now = changes.now.by_ref[changes.matching.to_now[ref]]
        if now.ref[1] in tables:
            expression = probe(changes, then, now, labels) if ref in changes.retyped else None
            types = [changes.then.by_ref.get(of_type) for of_type in then.refs.get("type", ())]
            by_text = any(of_type is not None and changes.created(of_type.ref) for of_type in types)
            type_ = then.facts["type"]
            found.append(Retyped(ref[1], ref[2], tables[now.ref[1]], now.name[2], type_, expression, by_text, labels))
    return found


def _columns(changes: Changes) -> Iterator[tuple[Ref, Labels | None]]:
    for then, _ in changes.matching.pairs():
        if then.kind == "column" and not then.facts.get("generated"):
            labels = labels_of(changes, then.ref)
            if labels or then.ref in changes.retyped:
                yield then.ref, labels


def probe(changes: Changes, then: Entry, now: Entry, labels: Labels | None) -> str:
    """SQL that fails where the conversion of the column would; its types are those that are there now."""
    for ref in then.refs.get("type", ()):
        of_type = changes.then.by_ref.get(ref)
        if of_type is not None and changes.created(ref):
            column = ident(now.name[2])
            value = labels.as_then(column) if labels else f"({column})::text"
            if of_type.kind == "enum":
                known = f"array[{', '.join(map(literal, of_type.facts['labels']))}]::text[]"
                if then.extra.get("array"):
                    return f"1 / (array_replace({value}::text[], null, ({known})[1]) <@ {known})::int"
                return f"1 / ({value} = any ({known}))::int"
            return value
    return conversion(changes.now, then, now, now.name[2])


def conversion(
    catalog: Catalog, then: Entry, now: Entry, column: str, *, swapped: bool = False, labels: Labels | None = None
) -> str:
    """SQL that converts the column of this name: by the cast that an assignment would use, by an explicit one, or through text.

    :param swapped: the type itself is another one of the same name, so that no cast is known
    :param labels: labels of it that have another name there
    """
    value, target = ident(column), then.facts["type"]
    base, source = _base(then), _base(now)
    casts = {(one, other) for one, other, _ in catalog.casts}
    if swapped:
        return f"{labels.as_then(value) if labels else f'({value})::text'}::{target}"
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
