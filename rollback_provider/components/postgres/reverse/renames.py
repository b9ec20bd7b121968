"""Gives objects that were renamed or moved their names back, through temporary names where two have swapped theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rollback_provider.components.postgres.catalog import Entry, Ref
from rollback_provider.components.postgres.catalog.kinds import KINDS
from rollback_provider.components.postgres.catalog.kinds.base import Naming
from rollback_provider.components.postgres.catalog.kinds.constraints import INDEXED
from rollback_provider.components.postgres.reversal import Statement
from rollback_provider.components.postgres.reverse.changes import Changes

Name = tuple[str, ...]

_RELATIONS = ""
"""The namespace that relations and types share; every other is called after its kind."""


@dataclass
class _Pending:
    """Something that is called `at` and shall be called `to`; both are (where, name), where is a namespace and what the name is unique in.

    :param follows: a table that takes it along into another schema
    """

    entry: Entry
    at: tuple[Name, str]
    to: tuple[Name, str]
    follows: Ref | None = None


class Renames:
    """The renaming stage of a reversal. Afterwards everything that stays is called as in the snapshot.

    :param late: objects that are dropped only later, and must not stand in the way of a name
    """

    def __init__(self, changes: Changes, late: Iterable[Entry]) -> None:
        self._changes = changes
        self._late = list(late)
        self._staying = [(then, now) for then, now in changes.matching.pairs() if then.ref not in changes.rebuilt]
        self._schemas = {now.name[0]: then.name[0] for then, now in self._staying if then.kind == "schema"}
        self._wanted = {(entry.kind, entry.name) for entry in changes.then.entries}
        self._wanted |= {
            (_RELATIONS, entry.name) for entry in changes.then.entries if _naming(entry) is Naming.RELATION
        }
        self.current: dict[Ref, Name] = {}
        """What relations, types and what is dropped late are called by now, by their identity now."""

    def schemas(self) -> Iterator[Statement]:
        """Schemas first."""
        items = [
            _Pending(now, (("schema",), now.name[0]), (("schema",), then.name[0]))
            for then, now in self._staying
            if then.kind == "schema"
        ]
        for entry in self._late:
            if entry.kind == "schema" and ("schema", entry.name) in self._wanted:
                self._schemas[entry.name[0]] = _temporary(entry)
                items.append(_Pending(entry, (("schema",), entry.name[0]), (("schema",), _temporary(entry))))
        yield from self._resolve(items)

    def relations(self) -> Iterator[Statement]:
        """Then relations and types."""
        items = []
        for then, now in self._staying:
            if _naming(then) is Naming.RELATION:
                follows = now.parent if then.kind in {"index", "constraint"} else None
                if then.kind == "sequence":
                    follows = self._table(now.refs.get("owned_by", ()))
                items.append(self._relation(now, then.name[0], then.name[-1], follows))
        for entry in self._late:
            if _naming(entry) is Naming.RELATION:
                schema, name = self._schema(entry), entry.name[-1]
                taken = (_RELATIONS, (schema, name)) in self._wanted
                items.append(self._relation(entry, schema, _temporary(entry) if taken else name, None))
        yield from self._resolve(items)

    def others(self) -> Iterator[Statement]:
        """Then parts of tables, and what is called after types, as a function after its arguments, which have their names by now."""
        items = []
        for then, now in self._staying:
            naming = _naming(then)
            if naming is Naming.TABLE:
                if not (then.extra.get("inherits") or then.extra.get("inherited") or then.facts.get("inherited")):
                    where = (then.kind, *then.name[:2])
                    items.append(_Pending(now, (where, now.name[2]), (where, then.name[2])))
            elif naming is Naming.SCHEMA:
                at, to = ((then.kind, schema, *then.name[2:]) for schema in (self._schema(now), then.name[0]))
                items.append(_Pending(now, (at, now.name[1]), (to, then.name[1])))
            elif naming is Naming.DATABASE and then.kind != "schema":
                items.append(_Pending(now, ((then.kind,), now.name[0]), ((then.kind,), then.name[0])))
        for entry in self._late:
            if _naming(entry) is Naming.SCHEMA:
                name = self.current[entry.ref] = (self._schema(entry), *entry.name[1:])
                where = (entry.kind, name[0], *name[2:])
                spare = _temporary(entry) if (entry.kind, name) in self._wanted else name[1]
                items.append(_Pending(entry, (where, name[1]), (where, spare)))
        yield from self._resolve(items)

    def address(self, entry: Entry) -> Name:
        """What an object that is dropped late is called by then."""
        if entry.kind == "schema":
            return (self._schema(entry),)
        return self.current.get(entry.ref, entry.name)

    def _relation(self, now: Entry, schema: str, name: str, follows: Ref | None) -> _Pending:
        self.current[now.ref] = at = (self._schema(now), now.name[-1])
        return _Pending(now, ((_RELATIONS, at[0]), at[1]), ((_RELATIONS, schema), name), follows)

    def _schema(self, now: Entry) -> str:
        return self._schemas.get(now.name[0], now.name[0])

    @staticmethod
    def _table(owner: tuple[Ref, ...]) -> Ref | None:
        return (owner[0][0], owner[0][1], 0) if owner else None

    def _resolve(self, items: list[_Pending]) -> Iterator[Statement]:
        taken = Counter(item.at for item in items)
        pending = [item for item in items if item.at != item.to]
        blocking = Counter(item.at for item in pending)
        while pending:
            done = []
            for item in pending:
                if item.follows and item.at[0] != item.to[0]:
                    continue
                if item.at[0] == item.to[0] or blocking[item.to] == 0:
                    steps = self._steps(item, blocking, taken)
                    if steps:
                        blocking[item.at] -= 1
                        for step in steps:
                            yield self._step(item, step, pending, (blocking, taken))
                        done.append(item)
            if not done:
                stuck = next(item for item in pending if not item.follows or item.at[0] == item.to[0])
                blocking[stuck.at] -= 1
                yield self._step(stuck, (stuck.at[0], _temporary(stuck.entry)), pending, (blocking, taken))
                blocking[stuck.at] += 1
            pending = [item for item in pending if item not in done]

    @staticmethod
    def _steps(
        item: _Pending, blocking: Counter[tuple[Name, str]], taken: Counter[tuple[Name, str]]
    ) -> list[tuple[Name, str]]:
        if blocking[item.to]:
            return []
        if item.at[0] == item.to[0] or item.at[1] == item.to[1]:
            return [item.to]
        moved, renamed = (item.to[0], item.at[1]), (item.at[0], item.to[1])
        if not taken[moved]:
            return [moved, item.to]
        if not taken[renamed]:
            return [renamed, item.to]
        spare = _temporary(item.entry)
        return [(item.at[0], spare), (item.to[0], spare), item.to]

    def _step(
        self,
        item: _Pending,
        to: tuple[Name, str],
        pending: list[_Pending],
        counts: tuple[Counter[tuple[Name, str]], ...],
    ) -> Statement:
        kind, entry = KINDS[item.entry.kind], item.entry
        if item.at[0] == to[0]:
            statement = kind.rename(entry, self._address(item), to[1])
        else:
            statement = kind.move(entry, self._address(item), to[0][1])
            for other in pending:
                if other.follows == entry.ref:
                    self._count(other, (to[0], other.at[1]), counts)
        self._count(item, to, counts[1:])
        return statement

    def _count(self, item: _Pending, to: tuple[Name, str], counts: tuple[Counter[tuple[Name, str]], ...]) -> None:
        for counter in counts:
            counter[item.at] -= 1
            counter[to] += 1
        item.at = to
        if item.entry.ref in self.current:
            self.current[item.entry.ref] = self._called(item)

    def _address(self, item: _Pending) -> Name:
        """Its name as its kind takes it."""
        if item.entry.kind == "constraint" and item.entry.parent and item.at[0][0] == _RELATIONS:
            return (*self.current[item.entry.parent], item.at[1])
        return self._called(item)

    @staticmethod
    def _called(item: _Pending) -> Name:
        (_, *where), name = item.at
        if KINDS[item.entry.kind].naming is Naming.SCHEMA:
            return (where[0], name, *where[1:])
        return (*where, name)


def _naming(entry: Entry) -> Naming:
    """The index behind a constraint has its name among the relations."""
    if entry.kind == "constraint" and entry.facts["type"] in INDEXED:
        return Naming.RELATION
    return KINDS[entry.kind].naming


def _temporary(entry: Entry) -> str:
    return f"rollback of {entry.ref[1]}.{entry.ref[2]}"
