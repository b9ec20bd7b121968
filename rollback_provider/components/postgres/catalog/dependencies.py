"""Who needs whom, from pg_depend, with what the catalog does not show as an object of its own folded into what it is a part of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from psycopg import Connection
from psycopg.rows import tuple_row

from rollback_provider.components.postgres.catalog.entry import (
    CLASS_CAST,
    CLASS_CONSTRAINT,
    CLASS_EXTENSION,
    CLASS_FUNCTION,
    CLASS_INDEX_FUNCTION,
    CLASS_INDEX_OPERATOR,
    CLASS_OPERATOR_FAMILY,
    CLASS_RELATION,
    CLASS_TYPE,
    Entry,
    Ref,
)

_QUERY = """
    select classid::int8, objid::int8, objsubid,
        refclassid::int8, refobjid::int8, refobjsubid, deptype::text from pg_depend where objid >= 16384
    union all
    select 1247, t.oid::int8, 0, 1247, t.typelem::int8, 0, 'i' from pg_type t join pg_type e on e.oid = t.typelem and e.typarray = t.oid
    where t.oid >= 16384"""


_PARTS = {
    (CLASS_CONSTRAINT, CLASS_TYPE),
    (CLASS_INDEX_OPERATOR, CLASS_OPERATOR_FAMILY),
    (CLASS_INDEX_FUNCTION, CLASS_OPERATOR_FAMILY),
}
"""(class of a part, class of its whole) where pg_depend does not say that it is a part."""


class Dependencies:
    """Edges of pg_depend between user objects."""

    def __init__(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self.members: set[Ref] = set()
        """What belongs to an extension."""
        self._needs: dict[Ref, dict[Ref, bool]] = {}
        self._part_of: dict[Ref, Ref] = {}
        for classid, oid, sub, refclass, refoid, refsub, kind in rows:
            ref, needed = (classid, oid, sub), (refclass, refoid, refsub)
            if kind == "e":
                self.members.add(ref)
                self._part_of[ref] = needed
            elif (kind == "i" and ref[:2] != needed[:2]) or (kind == "a" and (classid, refclass) in _PARTS):
                self._part_of.setdefault(ref, needed)
            if kind != "e":
                self._needs.setdefault(ref, {})[needed] = kind == "n"

    @classmethod
    def read(cls, connection: Connection[Any]) -> Dependencies:
        """Reads all of them in one query."""
        with connection.cursor(row_factory=tuple_row) as cursor:
            return cls(cursor.execute(_QUERY).fetchall())

    def resolve(self, entries: Iterable[Entry]) -> tuple[tuple[Entry, ...], list[tuple[Ref, Ref]]]:
        """Entries with what they depend on; and (needed entry, dependent that is no entry)."""
        found = {entry.ref: entry for entry in entries}
        folded = self._folded(found)
        needs: dict[Ref, set[Ref]] = {}
        outside: list[tuple[Ref, Ref]] = []
        for ref, all_needed in self._needs.items():
            owner = self._home(ref, found, folded)
            for needed, blocks in all_needed.items():
                target = self._home(needed, found, folded)
                if target is None or target == owner:
                    continue
                if owner is not None:
                    needs.setdefault(owner, set()).add(target)
                elif blocks and not self._is_hidden(ref):
                    outside.append((target, self._whole(ref)))
        return tuple(
            replace(entry, depends=tuple(sorted(needs.get(entry.ref, set()) | _structure(entry, found))))
            for entry in found.values()
        ), outside

    def _folded(self, found: Mapping[Ref, Entry]) -> dict[Ref, Ref]:
        """Where the catalog itself says that something is a part: the generation expression of a column."""
        return {
            (kind, oid, sub): entry.ref
            for entry in found.values()
            if entry.extra.get("expression")
            for kind, oid, sub in [entry.extra["expression"]]
        }

    def _home(self, ref: Ref, found: Mapping[Ref, Entry], folded: Mapping[Ref, Ref]) -> Ref | None:
        """The entry that this is, or is a part of."""
        for _ in range(8):
            if ref in found:
                return ref
            whole = (*ref[:2], 0)
            if ref in folded:
                return folded[ref]
            if ref[2] and whole in found:
                return whole
            if ref in self._part_of:
                ref = self._part_of[ref]
            elif ref[2] and whole in self._part_of:
                ref = self._part_of[whole]
            else:
                return None
        return None

    def _whole(self, ref: Ref) -> Ref:
        """What this is a part of: the view of a rule."""
        for _ in range(8):
            if ref not in self._part_of:
                break
            ref = self._part_of[ref]
        return ref

    def _is_hidden(self, ref: Ref) -> bool:
        """Parts that go with what they belong to, and what extensions bring along."""
        for _ in range(8):
            if ref in self.members or ref[0] == CLASS_EXTENSION:
                return True
            if ref not in self._part_of:
                return ref[0] == CLASS_RELATION and ref[2] > 0
            ref = self._part_of[ref]
        return True

    def is_generated(self, entry: Entry) -> bool:
        """Whether an extension made it, or a type brings it along, as a range type its constructors."""
        if entry.ref[0] in (CLASS_FUNCTION, CLASS_CAST) and entry.ref in self._part_of:
            return True
        return (
            entry.ref in self.members
            or (entry.ref[0], entry.ref[1], 0) in self.members
            or (entry.parent is not None and (entry.parent[0], entry.parent[1], 0) in self.members)
        )


def _structure(entry: Entry, found: Mapping[Ref, Entry]) -> set[Ref]:
    """What pg_depend leaves out: a part needs its whole."""
    return {entry.parent} if entry.parent is not None and entry.parent in found else set()
