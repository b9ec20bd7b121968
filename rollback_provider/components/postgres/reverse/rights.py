"""What a role must be allowed to run a reversal: whose objects it changes, where it makes some again, and for whom."""

from __future__ import annotations

from collections.abc import Iterable

from rollback_provider.components.postgres.catalog import Entry
from rollback_provider.components.postgres.catalog.kinds import KINDS
from rollback_provider.components.postgres.catalog.kinds.base import Naming
from rollback_provider.components.postgres.reversal import Rights
from rollback_provider.components.postgres.reverse.changes import Changes

_PLACED = frozenset({Naming.RELATION, Naming.SCHEMA})


def rights_of(changes: Changes, altered: Iterable[Entry], created: Iterable[Entry], acted: Iterable[Entry]) -> Rights:
    """The rights that a reversal takes.

    :param altered: objects of the snapshot that stay and are changed back
    :param created: objects of the snapshot that are made again
    :param acted: objects as they are now on which something else is done
    """
    found = _Found(changes)
    for entry in acted:
        found.own(entry)
    for entry in changes.dropped.values():
        found.drop(entry)
    for then in altered:
        found.alter(then)
    for then, now in changes.matching.pairs():
        if then.ref not in changes.rebuilt:
            found.rename(then, now)
    for then in created:
        found.create(then)
    return found.rights()


class _Found:
    """Collects rights, each object once."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._to_now, self._now = changes.matching.to_now, changes.now
        self._owners: dict[str, tuple[str, ...]] = {}
        self._places: dict[str, str] = {}
        self._given: dict[str, tuple[str, str]] = {}
        self._referenced: dict[str, tuple[str, str]] = {}
        self._schemas = {entry.name[0]: entry.facts["owner"] for entry in self._now.entries if entry.kind == "schema"}

    def own(self, now: Entry) -> str | None:
        """An object is changed: by the owner of it, or of what it is a part of. Gives the label of what is owned."""
        if now.kind == "default privileges":
            self._owners[now.label] = (now.name[1],)
            return now.label
        whole: Entry | None = now
        while whole is not None and "owner" not in whole.facts:
            whole = self._now.by_ref.get(whole.parent) if whole.parent else None
        if whole is None:
            return None
        self._owners[whole.label] = (whole.facts["owner"],)
        return whole.label

    def drop(self, now: Entry) -> None:
        """An object is dropped: by its owner, or by that of its schema."""
        if self.own(now) == now.label and now.parent is None and now.schema in self._schemas:
            self._owners[now.label] += (self._schemas[now.schema],)

    def alter(self, then: Entry) -> None:
        """An object is changed back, and may get its owner back."""
        now = self._now.by_ref[self._to_now[then.ref]]
        self.own(now)
        if then.facts.get("owner") != now.facts.get("owner") and "owned_by" not in then.facts:
            self._give(then)

    def rename(self, then: Entry, now: Entry) -> None:
        """An object may get its name or its schema back."""
        naming = KINDS[then.kind].naming
        if naming is not Naming.FIXED and then.name[-1] != now.name[-1]:
            self.own(now)
        if naming in _PLACED and then.parent is None and then.name[:2] != now.name[:2]:
            self.own(now)
            self._places[then.label] = then.schema

    def create(self, then: Entry) -> None:
        """An object is made again: in its schema, or on what it is a part of."""
        parent = self._to_now.get(then.parent) if then.parent else None
        if parent is not None:
            self.own(self._now.by_ref[parent])
        elif then.kind == "schema" or KINDS[then.kind].naming in _PLACED:
            self._places[then.label] = "" if then.kind == "schema" else then.schema
        if then.facts.get("owner") not in {None, self._changes.role}:
            self._give(then)
        for ref in then.refs.get("references", ()) if then.kind == "constraint" else ():
            if ref in self._to_now:
                schema, name = self._now.by_ref[self._to_now[ref]].name[:2]
                self._referenced[then.label] = schema, name

    def rights(self) -> Rights:
        """All that was found. Schemas are called what they are called now; in one that is made again everything is allowed."""
        names = {then.schema: now.schema for then, now in self._changes.matching.pairs() if then.kind == "schema"}
        places = ((label, names.get(schema, schema)) for label, schema in self._places.items())
        return Rights(
            owned=tuple(self._owners.items()),
            creating=tuple((label, schema) for label, schema in places if not schema or schema in self._schemas),
            given=tuple((label, owner, names.get(schema, schema)) for label, (owner, schema) in self._given.items()),
            referenced=tuple(self._referenced.items()),
        )

    def _give(self, then: Entry) -> None:
        schema = then.schema if KINDS[then.kind].naming in _PLACED else ""
        self._given[then.label] = then.facts["owner"], schema
