"""Gives objects that were renamed or moved their names back, through temporary names where two have swapped theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rollback_provider.components.postgres.catalog import Entry, Ref
from rollback_provider.components.postgres.catalog.kinds import KINDS
from rollback_provider.components.postgres.catalog.kinds.constraints import INDEXED
from rollback_provider.components.postgres.reversal import Statement
from rollback_provider.components.postgres.reverse.changes import Changes

Name = tuple[str, ...]

_IN_SCHEMA = frozenset(
    {"table", "view", "materialized view", "sequence", "enum", "domain", "composite type", "range type", "statistics"}
)


@dataclass
class _Pending:
    """Something that is called `at` and shall be called `to`; both are (where, name), where is a schema or a table's name.

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
        self.current: dict[Ref, Name] = {}
        """What relations and types are called by now, by their identity now."""

    def schemas(self) -> Iterator[Statement]:
        """Schemas first."""
        wanted = {entry.name[0] for entry in self._changes.then.entries if entry.kind == "schema"}
        items = [
            _Pending(now, ((), now.name[0]), ((), then.name[0])) for then, now in self._staying if then.kind == "schema"
        ]
        for entry in self._late:
            if entry.kind == "schema" and entry.name[0] in wanted:
                self._schemas[entry.name[0]] = _temporary(entry)
                items.append(_Pending(entry, ((), entry.name[0]), ((), _temporary(entry))))
        yield from self._resolve(items)

    def relations(self) -> Iterator[Statement]:
        """Then what lives in a schema, and what shares its namespace."""
        wanted = {entry.name for entry in self._changes.then.entries if entry.kind in _IN_SCHEMA}
        items = []
        for then, now in self._staying:
            if then.kind in _IN_SCHEMA:
                follows = self._table(now.refs.get("owned_by", ())) if then.kind == "sequence" else None
                items.append(self._item(now, then.name[:1], then.name[1], follows))
            elif then.kind == "index" or (then.kind == "constraint" and then.facts["type"] in INDEXED):
                items.append(self._item(now, then.name[:1], then.name[-1], now.parent))
        for entry in self._late:
            if entry.kind in _IN_SCHEMA:
                name = self._name(entry)
                items.append(self._item(entry, name[:1], _temporary(entry) if name in wanted else name[1], None))
        yield from self._resolve(items)

    def parts(self) -> Iterator[Statement]:
        """Then parts of tables, and functions, whose arguments have their names by now."""
        items = []
        for then, now in self._staying:
            if then.kind in {"column", "trigger", "rule", "policy"} or (
                then.kind == "constraint" and then.facts["type"] not in INDEXED
            ):
                if not (then.extra.get("inherits") or then.extra.get("inherited") or then.facts.get("inherited")):
                    items.append(
                        _Pending(
                            now, ((then.kind, *then.name[:2]), now.name[2]), ((then.kind, *then.name[:2]), then.name[2])
                        )
                    )
            elif then.kind == "function":
                schema = self._schemas.get(now.schema, now.schema)
                items.append(
                    _Pending(now, ((schema, then.name[2]), now.name[1]), ((then.name[0], then.name[2]), then.name[1]))
                )
        yield from self._resolve(items)

    def address(self, entry: Entry) -> Name:
        """What an object that is dropped late is called by then."""
        if entry.kind == "schema":
            return (self._schemas.get(entry.name[0], entry.name[0]),)
        return self.current.get(entry.ref, entry.name)

    def _item(self, now: Entry, schema: Name, name: str, follows: Ref | None) -> _Pending:
        at = self._name(now)
        self.current[now.ref] = at
        return _Pending(now, (at[:1], at[-1]), (schema, name), follows)

    def _name(self, now: Entry) -> Name:
        return (self._schemas.get(now.schema, now.schema), now.name[-1])

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
            statement = kind.move(entry, self._address(item), to[0][0])
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
            self.current[item.entry.ref] = (*to[0], to[1])

    def _address(self, item: _Pending) -> Name:
        where, name = item.at
        kind = item.entry.kind
        if kind == "function":
            return (where[0], name, where[1])
        if kind == "constraint" and item.entry.facts["type"] in INDEXED and item.entry.parent:
            return (*self.current[item.entry.parent], name)
        return (*(where[1:] if where and where[0] == kind else where), name)


def _temporary(entry: Entry) -> str:
    return f"rollback of {entry.ref[1]}.{entry.ref[2]}"
