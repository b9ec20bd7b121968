"""Which object now is which object of the snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rollback_provider.components.postgres.catalog import Catalog, Entry, Ref
from rollback_provider.components.postgres.catalog.kinds import KINDS
from rollback_provider.components.postgres.catalog.kinds.base import Naming

Key = tuple[object, ...]


class Matching:
    """Pairs objects of two catalogs: by identity within one database, by name for what is left or where oids mean nothing."""

    def __init__(self, then: Catalog, now: Catalog) -> None:
        self.then, self.now = then, now
        self.same_database = then.same_database(now)
        self.to_now: dict[Ref, Ref] = {}
        self.to_then: dict[Ref, Ref] = {}
        if self.same_database:
            for entry in then.entries:
                found = now.by_ref.get(entry.ref)
                if found is not None and found.kind == entry.kind:
                    self._pair(entry, found)
        for generation in _generations(then.entries):
            self._by_name(generation)
        self._not_null()

    def pairs(self) -> Iterator[tuple[Entry, Entry]]:
        """Objects of the snapshot that are still there, with what they are now."""
        for before, after in self.to_now.items():
            yield self.then.by_ref[before], self.now.by_ref[after]

    def gone(self) -> Iterator[Entry]:
        """Objects of the snapshot that are not there now."""
        return (entry for entry in self.then.entries if entry.ref not in self.to_now)

    def new(self) -> Iterator[Entry]:
        """Objects now that the snapshot does not know."""
        return (entry for entry in self.now.entries if entry.ref not in self.to_then)

    def mapped(self, refs: Iterable[Ref]) -> list[Ref | None]:
        """What objects of the snapshot are now; what is no object of the catalog, such as a system type, is itself."""
        return [self.to_now.get(ref, None if ref in self.then.by_ref else ref) for ref in refs]

    def by_name(self, then: Entry) -> bool:
        """Whether it was found by its name alone."""
        return self.to_now.get(then.ref) != then.ref or not self.same_database

    def _pair(self, then: Entry, now: Entry) -> None:
        self.to_now[then.ref] = now.ref
        self.to_then[now.ref] = then.ref

    def _by_name(self, generation: Iterable[Entry]) -> None:
        free: dict[Key, Entry] = {}
        for entry in self.now.entries:
            if entry.ref not in self.to_then:
                free[self._key(entry, entry.parent, entry.schema)] = entry
        schemas = {
            self.then.by_ref[before].schema: self.now.by_ref[after].schema
            for before, after in self.to_now.items()
            if self.then.by_ref[before].kind == "schema"
        }
        for entry in generation:
            if entry.ref in self.to_now:
                continue
            parent = self.to_now.get(entry.parent) if entry.parent else None
            if entry.parent and parent is None:
                continue
            in_schema = KINDS[entry.kind].naming is not Naming.DATABASE
            key = self._key(entry, parent, schemas.get(entry.schema, entry.schema) if in_schema else entry.schema)
            if key in free and not self._replaced(entry, free[key]):
                self._pair(entry, free.pop(key))

    def _replaced(self, then: Entry, now: Entry) -> bool:
        """Whether a column of the same table and name is another one all the same: one of another type."""
        return (
            then.kind == "column"
            and self.same_database
            and then.ref[1] == now.ref[1]
            and then.facts["type"] != now.facts["type"]
        )

    @staticmethod
    def _key(entry: Entry, parent: Ref | None, schema: str) -> Key:
        if parent is None:
            return (entry.kind, schema, *entry.name[1:], entry.extra.get("relkind"))
        return (entry.kind, parent, "" if parent[2] else entry.name[-1])

    def _not_null(self) -> None:
        """NOT NULL of the same column is the same, whatever its name."""
        free = {entry.depends: entry for entry in self.new() if _is_not_null(entry)}
        for entry in list(self.gone()):
            if _is_not_null(entry):
                found = free.pop(tuple(ref for ref in self.mapped(entry.depends) if ref), None)
                if found is not None:
                    self._pair(entry, found)


def _is_not_null(entry: Entry) -> bool:
    return entry.kind == "constraint" and entry.facts["type"] == "n"


def _generations(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Wholes before their parts."""
    found: list[list[Entry]] = [[], [], [], []]
    for entry in entries:
        depth = 0 if entry.kind == "schema" else 1 if entry.parent is None else 2 if entry.parent[2] == 0 else 3
        found[depth].append(entry)
    return found
