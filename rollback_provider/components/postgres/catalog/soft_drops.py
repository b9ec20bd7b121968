"""What an earlier migration has soft-dropped is no part of the schema any more."""

from __future__ import annotations

from collections.abc import Container, Iterable

from rollback_provider.components.postgres.catalog.entry import Entry, Ref
from rollback_provider.components.postgres.reserved import number_in

_ALONG = frozenset({"index", "constraint", "sequence", "statistics"})
"""Kinds that bear a reserved name because something that they are a part of was soft-dropped."""


def without_soft_drops(entries: Iterable[Entry], known: Container[Ref]) -> list[Entry]:
    """Leaves out what is soft-dropped, with its parts, unless it is among the objects that are `known`: then it can come back.

    So a later snapshot does not hold it, and it is all one to that whether it is dropped for good meanwhile.
    """
    found = list(entries)
    hidden = {entry.ref for entry in found if entry.ref not in known and _is_soft_dropped(entry)}
    for _ in range(3):  # a default, of a column, of a table
        hidden |= {entry.ref for entry in found if entry.parent in hidden}
    return [entry for entry in found if entry.ref not in hidden]


def _is_soft_dropped(entry: Entry) -> bool:
    number = number_in(entry.name[-1])
    if number is None:
        return False
    if entry.kind == "column":
        return number == entry.ref[2] or bool(entry.extra.get("inherits"))
    return entry.kind in _ALONG or (entry.kind == "table" and number == entry.ref[1])
