"""What is dropped, dependents first, each object by name: never CASCADE."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import replace

from rollback_provider.components.postgres.catalog import Entry, Ref
from rollback_provider.components.postgres.catalog.kinds import KINDS
from rollback_provider.components.postgres.catalog.kinds.tables import detach
from rollback_provider.components.postgres.reversal import Statement
from rollback_provider.components.postgres.reverse.changes import Changes
from rollback_provider.components.postgres.reverse.renames import Renames


class Drops:
    """Early drops clear the way; late ones wait until nothing uses their types and schemas any more."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        entries = changes.dropped.values()
        self._detached = {
            now.ref
            for then, now in changes.matching.pairs()
            if now.kind == "table" and not (changes.same(then, now, "inherits") and changes.same(then, now, "bound"))
        }
        self.late = self._sorted(entry for entry in entries if KINDS[entry.kind].droppable_late)
        self._early = self._sorted(entry for entry in entries if not KINDS[entry.kind].droppable_late)

    def loosen(self) -> Iterator[Statement]:
        """Ties between objects that stay and objects that go."""
        for then, now in self._changes.matching.pairs():
            yield from KINDS[now.kind].loosen(then, now, self._changes)

    def early(self) -> Iterator[Statement]:
        """Everything but types, extensions and schemas."""
        for entry in self._early:
            if not self._implied(entry):
                if entry.kind == "table" and not any(
                    ref in self._changes.dropped for ref in entry.refs.get("inherits", ())
                ):
                    yield from detach(entry)
                yield from KINDS[entry.kind].drop(entry, self._changes)

    def finally_(self, renames: Renames) -> Iterator[Statement]:
        """Types, extensions and schemas."""
        for entry in self.late:
            yield from KINDS[entry.kind].drop(replace(entry, name=renames.address(entry)), self._changes)

    def _implied(self, entry: Entry) -> bool:
        """Whether it goes with something else that is dropped."""
        dropped = self._changes.dropped
        if entry.kind == "constraint" and entry.facts["type"] == "f" and not entry.extra.get("inherited"):
            return False
        if entry.parent in dropped or entry.facts.get("identity") is True:
            return True
        if entry.parent is not None and (*entry.parent[:2], 0) in dropped:
            return True
        if any(ref in dropped or (*ref[:2], 0) in dropped for ref in entry.refs.get("owned_by", ())):
            return True
        if entry.kind != "table" and any(
            where.get(key) for where in (entry.facts, entry.extra) for key in ("inherited", "inherits")
        ):
            return entry.parent not in self._detached
        return False

    def _sorted(self, entries: Iterable[Entry]) -> list[Entry]:
        """Dependents before what they need; among equals the kinds in reverse order of creation."""
        chosen: dict[Ref, Entry] = {entry.ref: entry for entry in entries}
        blocked_by = dict.fromkeys(chosen, 0)
        for entry in chosen.values():
            for ref in entry.depends:
                if ref in chosen:
                    blocked_by[ref] += 1
        ready = [self._priority(chosen[ref]) for ref, count in blocked_by.items() if not count]
        heapq.heapify(ready)
        found = []
        while ready:
            entry = chosen[heapq.heappop(ready)[-1]]
            found.append(entry)
            for ref in entry.depends:
                if ref in chosen:
                    blocked_by[ref] -= 1
                    if not blocked_by[ref]:
                        heapq.heappush(ready, self._priority(chosen[ref]))
        for ref, count in blocked_by.items():
            if count:
                self._changes.refuse(
                    f"{chosen[ref].label} and other objects need each other in a circle: there is no order in which to drop them"
                )
        return found

    @staticmethod
    def _priority(entry: Entry) -> tuple[int, str, Ref]:
        return (-KINDS[entry.kind].order(entry), entry.label, entry.ref)
