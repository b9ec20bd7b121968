"""A sample of rows that is whole in itself: whatever a row refers to is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.rows import NULL
from rollback_provider.components.postgres.tables import ForeignKey, Table

Lines = dict[bytes, None]
"""Lines of a table, each once, in order."""
_Wanted = dict[tuple[int, tuple[int, ...]], set[bytes]]
"""Values that rows of a table must be there for: by the oid of what is referred to, and its columns."""


def sample(
    base: Base, tables: Sequence[Table], leaves: Mapping[int, Sequence[int]], wanted: Callable[[int], int]
) -> dict[int, Lines]:
    """Some rows of each table, evenly spread, and all that they refer to.

    :param wanted: how many, of a table that has so many
    :param leaves: tables that hold the rows of a partitioned one, by its oid
    """
    by_oid = {table.oid: table for table in tables if table.oid in base.tables}
    chosen: dict[int, Lines] = {oid: dict.fromkeys(_spread(base, oid, wanted(base.rows(oid)))) for oid in by_oid}
    fresh: dict[int, Iterable[bytes]] = {oid: list(lines) for oid, lines in chosen.items()}
    met: _Wanted = {}
    while missing := _wanted(by_oid, fresh, met):
        fresh = {}
        for oid, table in by_oid.items():
            mine = {
                places: values
                for (target, columns), values in missing.items()
                if oid == target or oid in leaves.get(target, ())
                if (places := _places(table, columns)) is not None
            }
            if mine:
                found = [line for line in _matching(base, oid, mine) if line not in chosen[oid]]
                chosen[oid].update(dict.fromkeys(found))
                fresh[oid] = found
    return chosen


def _spread(base: Base, oid: int, wanted: int) -> Iterator[bytes]:
    """So many rows of a table, one in each of as many equal parts."""
    total = base.rows(oid)
    number = 0
    for lines in base.lines(oid):
        for line in lines:
            if (number + 1) * wanted // total > number * wanted // total:
                yield line
            number += 1


def _wanted(tables: Mapping[int, Table], fresh: Mapping[int, Iterable[bytes]], met: _Wanted) -> _Wanted:
    """What rows that were just chosen refer to and no others have before."""
    wanted: _Wanted = {}
    for oid, lines in fresh.items():
        keys = [(key, _places(tables[oid], key.columns)) for key in tables[oid].foreign_keys]
        for line in lines:
            fields = line.split(b"\t")
            for key, places in keys:
                _want(key, [fields[i] for i in places or ()], wanted, met)
    return wanted


def _want(key: ForeignKey, values: Sequence[bytes], wanted: _Wanted, met: _Wanted) -> None:
    target, value = (key.references, key.references_columns), b"\t".join(values)
    if values and NULL not in values and value not in met.setdefault(target, set()):
        met[target].add(value)
        wanted.setdefault(target, set()).add(value)


def _places(table: Table, columns: Sequence[int]) -> tuple[int, ...] | None:
    """Where columns stand in a line; None where one is not stored."""
    places = {column.number: i for i, column in enumerate(table.stored_columns)}
    return tuple(places[number] for number in columns) if all(number in places for number in columns) else None


def _matching(base: Base, oid: int, wanted: Mapping[tuple[int, ...], set[bytes]]) -> Iterator[bytes]:
    for lines in base.lines(oid):
        for line in lines:
            fields = line.split(b"\t")
            if any(b"\t".join([fields[i] for i in places]) in values for places, values in wanted.items()):
                yield line
