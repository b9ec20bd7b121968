"""A snapshot store and systems that live in this process, new for every test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from rollback_provider.components.memory import State, create_system, remove_system
from rollback_provider.store import SnapshotStore, open_store

_numbers = count(1)


@pytest.fixture
def memory_store() -> SnapshotStore:
    """A store in memory for one test."""
    return open_store(f"memory://unit-{next(_numbers)}")


@pytest.fixture
def make_system() -> Iterator[Callable[[State], str]]:
    """Makes systems of the memory component that go when the test ends, and gives their names."""
    made: list[str] = []

    def make(state: State) -> str:
        name = f"system-{next(_numbers)}"
        create_system(name, state)
        made.append(name)
        return name

    yield make
    for name in made:
        remove_system(name)
