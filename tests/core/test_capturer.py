"""Snapshots and checkpoints: all or nothing."""

from __future__ import annotations

import pytest

from rollback_provider.components.memory import remove_system
from rollback_provider.core.capturer import take_checkpoint, take_snapshot
from rollback_provider.core.component import Component
from rollback_provider.core.errors import (
    ComponentError,
    ComponentUnavailableError,
    ConfigurationError,
    IntegrityError,
    NotFoundError,
)
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.repository import Repository
from tests.core.setting import ACTOR, Setting, no_connections


def test_a_snapshot_is_found_again_as_it_was_taken(setting: Setting) -> None:
    snapshot = setting.snapshot()
    assert Repository(setting.store).snapshot(snapshot.id) == snapshot
    assert Repository(setting.store).snapshot_ids() == [snapshot.id]
    assert snapshot.id.startswith("release-7-")
    assert [state.spec.name for state in snapshot.components] == ["db", "app"]
    assert snapshot.components[0].summary == {"scopes": 2, "rows": 3}
    for state in snapshot.components:
        assert state.blobs
        for digest in state.blobs:
            assert setting.store.get_blob(digest)


def test_nothing_is_sealed_unless_all_components_are_captured(setting: Setting) -> None:
    snapshot = setting.snapshot()
    remove_system(setting.application)
    with pytest.raises(ComponentUnavailableError, match=r"^app: "):
        setting.snapshot()
    with pytest.raises(ComponentUnavailableError, match=r"^app: "):
        setting.checkpoint(snapshot)
    assert Repository(setting.store).snapshot_ids() == [snapshot.id]
    assert not Repository(setting.store).checkpoints(snapshot.id)


def test_a_caller_sees_each_component_and_can_cancel_it(setting: Setting) -> None:
    seen: list[Component] = []

    def watch(component: Component) -> None:
        seen.append(component)
        component.cancel()

    with pytest.raises(ComponentError, match=r"^db: Cancelled"):
        take_snapshot(
            setting.store,
            "m",
            setting.specs,
            no_connections,
            setting.progress,
            actor=ACTOR,
            watch=watch,
        )
    assert {component.spec.name for component in seen} == {"db", "app"}
    assert not Repository(setting.store).snapshot_ids()


def test_a_migration_needs_a_name(setting: Setting) -> None:
    with pytest.raises(ConfigurationError, match="has no name"):
        take_snapshot(setting.store, "  ", setting.specs, no_connections, setting.progress, actor=ACTOR)


def test_a_circle_is_refused_before_anything_is_captured(setting: Setting) -> None:
    circle = [
        ComponentSpec(kind="memory", name=name, after=(other,), options={"system": setting.database})
        for name, other in (("a", "b"), ("b", "a"))
    ]
    with pytest.raises(ConfigurationError, match="circle"):
        take_snapshot(setting.store, "m", circle, no_connections, setting.progress, actor=ACTOR)


def test_a_checkpoint_of_an_unknown_snapshot_is_not_found(setting: Setting) -> None:
    with pytest.raises(NotFoundError, match="no snapshot 'm-20260101T000000Z-0123456789ab'"):
        take_checkpoint(setting.store, "m-20260101T000000Z-0123456789ab", no_connections, setting.progress, actor=ACTOR)


def test_a_snapshot_under_the_name_of_another_is_noticed(setting: Setting) -> None:
    first, second = setting.snapshot(), setting.snapshot()
    setting.store.delete(f"snapshots/{first.id}")
    setting.store.create(f"snapshots/{first.id}", second.to_json())
    with pytest.raises(IntegrityError, match=first.id):
        Repository(setting.store).snapshot(first.id)
    setting.store.delete(f"snapshots/{first.id}")
    setting.store.create(f"snapshots/{first.id}", first.to_json() | {"migration": "another"})
    with pytest.raises(IntegrityError, match=first.id):
        Repository(setting.store).snapshot(first.id)
