"""What has to be made, dropped, made again or converted, with everything that stands in the way of it."""

from __future__ import annotations

from collections.abc import Iterable

from rollback_provider.components.postgres.catalog import Catalog, Entry, Ref
from rollback_provider.components.postgres.catalog.kinds import KINDS
from rollback_provider.components.postgres.catalog.kinds.watched import Watched
from rollback_provider.components.postgres.reverse.matching import Matching


class Changes:
    """The difference between two catalogs as work to do. It is what kinds see of a reversal: their Scene.

    :param unconvertible: (oid, attnum) of the snapshot's columns whose values cannot be converted back
    """

    def __init__(self, then: Catalog, now: Catalog, unconvertible: frozenset[tuple[int, int]] = frozenset()) -> None:
        self.then, self.now = then, now
        self.matching = Matching(then, now)
        self.version, self.role = now.server_version, now.role
        self.notes: dict[str, None] = {}
        self.refusals: dict[str, None] = {}
        self.rebuilt: dict[Ref, bool] = {}
        """Objects of the snapshot that are dropped and made again; true where only because of something that they need."""
        self.retyped: set[Ref] = set()
        """Columns of the snapshot that are converted."""
        self.dropped: dict[Ref, Entry] = {}
        """Objects now that are dropped."""
        self.default_privileges = [entry for entry in now.entries if entry.kind == "default privileges"]
        """Those in force now."""
        self._unconvertible = unconvertible
        self._compare()
        self._close()

    def then_children(self, parent: Ref, kind: str) -> list[Entry]:
        """Parts of an object of the snapshot."""
        return [entry for entry in self.then.children.get(parent, ()) if entry.kind == kind]

    def then_entry(self, ref: Ref) -> Entry | None:
        """An object of the snapshot."""
        return self.then.by_ref.get(ref)

    def now_entry(self, ref: Ref) -> Entry | None:
        """An object of the database now."""
        return self.now.by_ref.get(ref)

    def created(self, ref: Ref) -> bool:
        """Whether an object of the snapshot has to be made again."""
        return ref in self.then.by_ref and (ref not in self.matching.to_now or ref in self.rebuilt)

    def gone(self, ref: Ref) -> bool:
        """Whether an object of the snapshot is not there now."""
        return ref in self.then.by_ref and ref not in self.matching.to_now

    def new(self, ref: Ref) -> bool:
        """Whether an object now is not in the snapshot."""
        return ref in self.now.by_ref and ref not in self.matching.to_then

    def recreated_table(self, ref: Ref | None) -> bool:
        """Whether this is a table of the snapshot that is gone."""
        entry = self.then.by_ref.get(ref) if ref else None
        return entry is not None and entry.kind == "table" and self.gone(entry.ref)

    def collateral(self, ref: Ref) -> bool:
        """Whether it is made again only because of something that it needs."""
        return self.rebuilt.get(ref, False)

    def refilled(self, table: Ref | None, numbers: Iterable[int]) -> bool:
        """Whether one of these columns is emptied and filled again."""
        return table is not None and any((table[1], number) in self._unconvertible for number in numbers)

    def same(self, then: Entry, now: Entry, fact: str) -> bool:
        """Whether a fact is the same, renamed objects taken into account."""
        if not self.matching.same_database or fact not in then.refs.keys() | now.refs.keys():
            return bool(then.facts.get(fact) == now.facts.get(fact))
        same = self.matching.mapped(then.refs.get(fact, ())) == list(now.refs.get(fact, ()))
        return same and all(then.extra.get(key) == now.extra.get(key) for key in ("typmod", "array"))

    def same_definition(self, then: Entry, now: Entry) -> bool:
        """Whether the definition is the same, renamed objects taken into account."""
        if self.matching.same_database and then.stored and then.stored == now.stored:
            return True
        if then.definition != now.definition:
            return False
        return not then.definition or self.same_needs(then, now)

    def in_containers(self, type_: Ref) -> bool:
        """Whether columns hold this type of the snapshot inside arrays or composite types."""
        users = (entry for entry in self.then.entries if type_ in entry.depends)
        return any(
            entry.kind == "composite type" or (entry.kind == "column" and entry.extra.get("array")) for entry in users
        )

    def same_needs(self, then: Entry, now: Entry) -> bool:
        """Whether it needs the same objects."""
        return set(self.matching.mapped(then.depends)) == set(now.depends)

    def refuse(self, sentence: str) -> None:
        """Notes something that cannot be reverted."""
        self.refusals[sentence] = None

    def note(self, sentence: str) -> None:
        """Notes an accepted difference."""
        self.notes[sentence] = None

    def _compare(self) -> None:
        for then, now in self.matching.pairs():
            kind = KINDS[then.kind]
            if isinstance(kind, Watched):
                if then.facts != now.facts or then.name != now.name:
                    self.refuse(f"{then.label} was changed by the migration: {kind.plural} are not brought back")
            elif kind.rebuilds(then, now, self):
                self._rebuild(then, now, collateral=False)
            elif then.kind == "column" and not (self.same(then, now, "type") and self.same(then, now, "collation")):
                self._retype(then, now)
        for entry in self.matching.gone():
            kind = KINDS[entry.kind]
            if isinstance(kind, Watched):
                self.refuse(f"{entry.label} was dropped by the migration: {kind.plural} are not brought back")
        for entry in self.matching.new():
            kind = KINDS[entry.kind]
            if isinstance(kind, Watched):
                self.refuse(f"{entry.label} was added by the migration: {kind.plural} are not dropped")
            else:
                self.dropped[entry.ref] = entry

    def _rebuild(self, then: Entry, now: Entry, *, collateral: bool) -> None:
        self.rebuilt[then.ref] = collateral
        self.retyped.discard(then.ref)
        self.dropped[now.ref] = now

    def _retype(self, then: Entry, now: Entry) -> None:
        if then.facts.get("generated"):
            self._rebuild(then, now, collateral=False)
        else:
            self.retyped.add(then.ref)

    def _close(self) -> None:
        """Adds whatever depends on what is dropped or converted."""
        dependents: dict[Ref, list[Entry]] = {}
        for entry in self.now.entries:
            for ref in entry.depends:
                dependents.setdefault(ref, []).append(entry)
        outside: dict[Ref, list[str]] = {}
        for ref, outsider in self.now.outside:
            outside.setdefault(ref, []).append(outsider)
        waiting = [*self.dropped.values(), *(self.now.by_ref[self.matching.to_now[ref]] for ref in self.retyped)]
        while waiting:
            needed = waiting.pop()
            for description in outside.get(needed.ref, ()):
                self.refuse(f"{description} needs {needed.label} and lies outside the schemas that are rolled back")
            waiting += [
                dependent
                for dependent in dependents.get(needed.ref, ())
                if dependent.ref not in self.dropped and self._is_in_the_way(dependent, needed)
            ]

    def _is_in_the_way(self, dependent: Entry, needed: Entry) -> bool:
        """Marks a dependent as to be made again or converted; false where it can stay."""
        before = self.matching.to_then.get(dependent.ref)
        if before is None or self._bears_it(dependent, needed):
            return False
        then, kind = self.then.by_ref[before], KINDS[dependent.kind]
        if isinstance(kind, Watched) or dependent.kind == "table":
            self.refuse(
                f"{dependent.label} needs {needed.label}, which has to be made again: {dependent.label} cannot be"
            )
            return False
        if dependent.kind == "column" and not dependent.facts.get("generated"):
            if then.ref in self.retyped:
                return False
            self._retype(then, dependent)
        else:
            self._rebuild(then, dependent, collateral=True)
        return True

    def _bears_it(self, dependent: Entry, needed: Entry) -> bool:
        """Whether a dependent can stay while what it needs is dropped, or, for a column, converted."""
        if needed.kind == "schema" or KINDS[dependent.kind].lets_go(dependent, needed):
            return True
        if needed.ref in self.dropped:
            return (
                dependent.kind == "column" and not KINDS[needed.kind].swapped and not dependent.facts.get("generated")
            )
        return dependent.kind == "constraint" and dependent.facts["type"] == "n"
