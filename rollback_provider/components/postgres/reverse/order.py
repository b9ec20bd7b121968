"""Puts actions into an order in which each finds what it needs, and into phases."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from rollback_provider.components.postgres.catalog import Ref
from rollback_provider.components.postgres.catalog.kinds.base import Action, Phase
from rollback_provider.components.postgres.reversal import Statement

Key = tuple[Ref, str]


@dataclass
class Ordered:
    """Statements by phase; those of the phases between belong to tables that are created again, in order of creation."""

    prepare: list[Statement] = field(default_factory=list)
    create: dict[Ref, list[Statement]] = field(default_factory=dict)
    complete: dict[Ref, list[Statement]] = field(default_factory=dict)
    finish: list[Statement] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    """Labels of objects that need each other in a circle."""


def in_order(actions: Iterable[Action]) -> Ordered:
    """Orders actions; what needs something of a later phase moves there."""
    by_key: dict[Key, Action] = {(action.ref, action.aspect): action for action in actions}
    providers: dict[Ref, list[Key]] = {}
    for key, action in by_key.items():
        for ref in (action.ref, *action.provides) if not action.aspect or action.provides else ():
            providers.setdefault(ref, []).append(key)
    needs = {key: _needs(key, action, providers) for key, action in by_key.items()}
    return _Sorter(by_key, needs).run()


def _needs(key: Key, action: Action, providers: dict[Ref, list[Key]]) -> set[Key]:
    wanted = (*action.needs, action.ref) if action.aspect else action.needs
    return {provider for ref in wanted for provider in providers.get(ref, ())} - {key}


class _Sorter:
    def __init__(self, actions: dict[Key, Action], needs: dict[Key, set[Key]]) -> None:
        self._actions, self._needs = actions, needs
        self._phases: dict[Key, Phase] = {}
        self._floating: list[Statement] = []
        self._afloat: set[Key] = set()
        self._ordered = Ordered()

    def run(self) -> Ordered:
        dependents: dict[Key, list[Key]] = {}
        for key, needed in self._needs.items():
            for other in needed:
                dependents.setdefault(other, []).append(key)
        open_needs = {key: len(needed) for key, needed in self._needs.items()}
        ready = [self._priority(key) for key, count in open_needs.items() if not count]
        heapq.heapify(ready)
        while ready:
            key = heapq.heappop(ready)[-1]
            self._place(key, self._actions[key])
            for other in dependents.get(key, ()):
                open_needs[other] -= 1
                if not open_needs[other]:
                    heapq.heappush(ready, self._priority(other))
        self._ordered.finish[:0] = self._floating
        self._ordered.stuck = sorted({self._actions[key].label for key, count in open_needs.items() if count})
        return self._ordered

    def _priority(self, key: Key) -> tuple[Phase, int, str, str, Key]:
        action = self._actions[key]
        return (self._phase(key, action), action.rank, action.label, action.aspect, key)

    def _phase(self, key: Key, action: Action) -> Phase:
        """The first phase in which all that it needs is there."""
        phase = max([action.phase, *(self._phases[need] for need in self._needs[key])])
        is_table = action.table == action.ref and not action.aspect
        if is_table or phase in (Phase.PREPARE, Phase.FINISH):
            return phase
        if action.table is None:
            return Phase.FINISH if phase is Phase.COMPLETE else phase
        others = {
            need
            for need in self._needs[key]
            if self._phases[need] is not Phase.PREPARE and self._actions[need].table != action.table
        }
        return Phase.FINISH if others else phase

    def _place(self, key: Key, action: Action) -> None:
        phase = self._phases[key] = self._phase(key, action)
        if phase is Phase.PREPARE:
            self._ordered.prepare += action.statements
        elif phase is Phase.FINISH:
            self._ordered.finish += action.statements
        elif action.table is None:
            self._floating += action.statements
        elif phase is Phase.COMPLETE:
            self._ordered.complete.setdefault(action.table, []).extend(action.statements)
        else:
            statements = self._ordered.create.setdefault(action.table, [])
            if action.ref == action.table:
                statements += self._floating
                self._floating = []
            statements += action.statements
