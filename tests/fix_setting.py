"""Two memory systems under one migration."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rollback_provider.components.memory import State
from rollback_provider.core import registry
from rollback_provider.store import SnapshotStore
from tests.core.setting import BEFORE, Setting


@pytest.fixture
def setting(memory_store: SnapshotStore, make_system: Callable[[State], str]) -> Setting:
    """A store and two systems, nothing done yet."""
    return Setting(memory_store, make_system(BEFORE), make_system(BEFORE))


@pytest.fixture
def moving_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers the kind ``moving``."""
    monkeypatch.setitem(registry.BUILT_IN, "moving", "tests.core.plugins:MovingComponent")


@pytest.fixture
def careless_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers the kind ``careless``."""
    monkeypatch.setitem(registry.BUILT_IN, "careless", "tests.core.plugins:CarelessComponent")
