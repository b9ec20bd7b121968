"""Whether every row that the ledger promised to keep is where it said."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Table
from rollback_provider.components.postgres.verifying.lookup import Key, look_up
from rollback_provider.core.base import Json

LOOKED_AT = 10_000
"""Entries of each table whose rows are looked up."""


@dataclass
class Promises:
    """What the ledger says stays as applications wrote it.

    :param kept: by table and key, the values that stay
    :param counts: entries by table, also beyond those that are looked at
    """

    kept: dict[str, dict[Key, dict[str, str | None]]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def reading(self, ledger: Iterable[Json]) -> Iterator[Json]:
        """The entries, remembered as they pass. What a later one says of a row holds."""
        for entry in ledger:
            values, scope = entry.get("now"), entry["scope"]
            if entry["action"] == "conflict_kept" and values:
                self.counts[scope] = self.counts.get(scope, 0) + 1
                rows = self.kept.setdefault(scope, {})
                key = tuple(entry["key"].values())
                if key in rows or len(rows) < LOOKED_AT:
                    rows[key] = values
            yield entry


@dataclass(frozen=True)
class Broken:
    """A row that is not what the ledger promised.

    :param key: of the row
    :param column: which differs; None where the row is gone
    :param own: whether a transaction of the rollback may have done that; otherwise somebody else has written the row since
    """

    key: Key
    column: str | None
    problem: str
    own: bool


def broken(
    session: Session, table: Table, found: Table, kept: Mapping[Key, Mapping[str, str | None]], own: Collection[int]
) -> list[Broken]:
    """Promised rows of one table that hold something else, or are gone.

    :param found: the table as it is now
    :param own: transaction ids of the rollback
    """
    width, rows = len(table.key), look_up(session, found, table.stored_columns, kept)
    names = [column.name for column in table.stored_columns]
    short = {xid % 2**32 for xid in own}
    problems = []
    for key, values in kept.items():
        label = ", ".join(f"{name}={value}" for name, value in zip(names[:width], key, strict=True))
        if key not in rows:
            problems.append(Broken(key, None, f"row {label} is gone, and the ledger keeps it", own=True))
            continue
        xmin, row = rows[key]
        problems += [
            Broken(
                key, name, f"row {label}: {name} is {row[name]!r}, and the ledger keeps {value!r}", own=xmin in short
            )
            for name, value in values.items()
            if name in row and row[name] != value
        ]
    return problems
