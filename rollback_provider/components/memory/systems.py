"""The systems of this process, and how tests and documentation read and write them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from threading import RLock

Row = dict[str, str | None]
Rows = dict[str, Row]
State = dict[str, Rows]


@dataclass
class System:
    """One system of this process. Hold `lock` while reading or writing `state`."""

    state: State = field(default_factory=dict)
    password: str | None = field(default=None, repr=False)
    lock: RLock = field(default_factory=RLock, repr=False)


_systems: dict[str, System] = {}


def create_system(name: str, state: State | None = None, *, password: str | None = None) -> None:
    """Makes a system, or replaces the one of this name."""
    _systems[name] = System(deepcopy(state or {}), password)


def remove_system(name: str) -> None:
    """Takes a system away: components that use it find it unreachable. No error where there is none."""
    _systems.pop(name, None)


def read_system(name: str) -> State:
    """A copy of a system's state."""
    with _systems[name].lock:
        return deepcopy(_systems[name].state)


def write_system(name: str, state: State) -> None:
    """Replaces a system's state, as a migration would."""
    with _systems[name].lock:
        _systems[name].state = deepcopy(state)


def write_row(name: str, scope: str, key: str, row: Row | None) -> None:
    """Writes one row, or deletes it (None), as an application would. Raises KeyError where there is no such scope."""
    with _systems[name].lock:
        put_row(_systems[name].state[scope], key, deepcopy(row))


def find_system(name: str) -> System | None:
    """The system of this name, for components."""
    return _systems.get(name)


def put_row(rows: Rows, key: str, row: Row | None) -> None:
    """Writes one row, or deletes it (None)."""
    if row is None:
        rows.pop(key, None)
    else:
        rows[key] = row
