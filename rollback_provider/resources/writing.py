"""What steps write, and what their notes tell of it afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from rollback_provider.core.base import Json
from rollback_provider.core.merge import came_about
from rollback_provider.resources.state import Change, Fields, State


@dataclass(frozen=True)
class Batch:
    """Changes that one step makes.

    :param estimate: seconds it is expected to take, where known
    :param script: what a person would run instead; by default the commands of the changes
    :param notes: what a person should know before approving it
    :param payload: what else the step is to hold to when it is applied; no secrets
    """

    title: str
    changes: Sequence[Change]
    estimate: float | None = None
    script: str = ""
    notes: tuple[str, ...] = ()
    payload: Mapping[str, Any] = field(default_factory=dict)


class Written:
    """Resources that a step has set out to write, as they were and as they were to be, out of its notes."""

    def __init__(self, notes: Iterable[Json]) -> None:
        self.images: dict[str, tuple[Fields | None, Fields | None]] = {}
        for note in notes:
            for address, (was, became) in note.get("writes", {}).items():
                self._add(address, was, became)

    def __len__(self) -> int:
        return len(self.images)

    def note(self, changes: Iterable[Change]) -> Json:
        """The note that must be durable before these changes are made."""
        for change in changes:
            self._add(change.address, change.now, change.target)
        return {"writes": {change.address: [change.now, change.target] for change in changes}}

    def has_come_about(self, address: str, now: Fields | None) -> bool:
        """Whether a resource was written by this step, whatever others have written to other fields of it since."""
        return address in self.images and came_about(*self.images[address], now)

    def change(self, address: str) -> Change | None:
        """What was to be written to a resource; None where nothing was."""
        return Change(address, *self.images[address]) if address in self.images else None

    def _add(self, address: str, was: Fields | None, became: Fields | None) -> None:
        """The last note counts: the writes of those before have not come about."""
        self.images[address] = (was, became)


def before_and_after(kept: State, steps: Iterable[Written], now: State) -> tuple[State, State]:
    """The state before a rollback, and what the rollback has made of it.

    Several steps may have written the same resource: what the first found is before, what the last has made of it is after. A write
    that was noted and has not come about, because a worker died in between, has made nothing.

    :param kept: the state right before its first step
    """
    then, left = deepcopy(kept), deepcopy(kept)
    seen = set()
    for written in steps:
        for address, (was, became) in written.images.items():
            if address not in seen:
                seen.add(address)
                _put(then, address, was)
            current = now.get(address)
            undone = not came_about(was, became, current) and came_about(became, was, current)
            _put(left, address, was if undone else became)
    return then, left


def _put(state: State, address: str, fields: Fields | None) -> None:
    if fields is None:
        state.pop(address, None)
    else:
        state[address] = fields
