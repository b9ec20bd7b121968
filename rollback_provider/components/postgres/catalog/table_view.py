"""Tables as the data side sees them, from the catalog's objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rollback_provider.components.postgres.catalog.entry import CLASS_RELATION, Entry, Ref
from rollback_provider.components.postgres.tables import Column, ForeignKey, Table


def read_tables(entries: Iterable[Entry], children: Mapping[Ref, list[Entry]]) -> tuple[Table, ...]:
    """All tables that hold rows themselves, by schema and name."""
    tables = (entry for entry in entries if entry.kind == "table" and entry.extra["relkind"] == "r")
    return tuple(_table(entry, children) for entry in sorted(tables, key=lambda entry: entry.name))


def _table(entry: Entry, children: Mapping[Ref, list[Entry]]) -> Table:
    parts = children.get(entry.ref, [])
    columns = sorted((part for part in parts if part.kind == "column"), key=lambda part: part.ref[2])
    constraints = sorted((part for part in parts if part.kind == "constraint"), key=lambda part: part.ref)
    return Table(
        oid=entry.ref[1],
        schema=entry.name[0],
        name=entry.name[1],
        filenode=entry.extra["filenode"],
        columns=tuple(_column(column, children) for column in columns),
        key=_key(columns, constraints, [part for part in parts if part.kind == "index"]),
        foreign_keys=tuple(_foreign_key(part) for part in constraints if part.facts["type"] == "f"),
        row_triggers=any(part.kind == "trigger" and part.facts.get("enabled", "O") in "OA" for part in parts),
        logged=not entry.facts.get("unlogged", False),
    )


def _column(entry: Entry, children: Mapping[Ref, list[Entry]]) -> Column:
    default = next((part.definition for part in children.get(entry.ref, ()) if part.kind == "default"), None)
    return Column(
        number=entry.ref[2],
        name=entry.name[2],
        type=entry.facts["type"],
        nullable=not entry.facts.get("not_null", False),
        default=default,
        generated=entry.facts.get("generated", ""),
        identity=entry.facts.get("identity", ""),
    )


def _key(columns: list[Entry], constraints: list[Entry], indexes: list[Entry]) -> tuple[int, ...]:
    usable = {
        column.ref[2] for column in columns if column.facts.get("not_null") and column.facts.get("generated") != "v"
    }
    candidates: list[tuple[Ref, tuple[int, ...]]] = []
    for constraint in constraints:
        numbers = tuple(constraint.extra.get("columns", ()))
        if constraint.facts["type"] == "p":
            return numbers
        if constraint.facts["type"] == "u" and not constraint.extra["deferrable"]:
            candidates.append(((CLASS_RELATION, constraint.extra["index"], 0), numbers))
    for index in indexes:
        extra = index.extra
        if extra["unique"] and extra["immediate"] and extra["valid"] and not extra["partial"]:
            candidates.append((index.ref, tuple(extra["columns"][: extra["keys"]])))
    return next((numbers for _, numbers in sorted(candidates) if numbers and usable.issuperset(numbers)), ())


def _foreign_key(entry: Entry) -> ForeignKey:
    return ForeignKey(
        name=entry.name[2],
        columns=tuple(entry.extra["columns"]),
        references=entry.refs["references"][0][1],
        references_columns=tuple(entry.extra["referenced"]),
    )
