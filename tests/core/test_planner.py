"""Planning: which checkpoint counts, what is listed, and that nothing happens."""

from __future__ import annotations

import pytest

from rollback_provider.components.memory import write_row
from rollback_provider.core.capturer import seal_checkpoint, take_snapshot
from rollback_provider.core.errors import ComponentError, ConfigurationError, ConflictError, NotFoundError
from rollback_provider.core.model import Action, Attribution, ComponentSpec, Policy
from rollback_provider.core.planner import generate
from rollback_provider.core.repository import Repository
from tests.core.setting import ACTOR, Setting, no_connections


def test_the_newest_checkpoint_counts_unless_one_is_named(setting: Setting) -> None:
    snapshot = setting.snapshot()
    early = setting.checkpoint(snapshot)
    setting.migrate()
    late = setting.checkpoint(snapshot)
    assert setting.plan(snapshot).checkpoint_id == late.id
    assert setting.plan(snapshot).steps
    named = setting.plan(snapshot, checkpoint_id=early.id)
    assert named.checkpoint_id == early.id
    assert not named.steps, "seen from before the migration, all changes are an application's"


def test_how_far_a_checkpoint_can_be_trusted_is_in_the_plan(setting: Setting) -> None:
    snapshot = setting.snapshot()
    assert setting.plan(snapshot).attribution is Attribution.UNKNOWN
    quiet = setting.checkpoint(snapshot)
    assert setting.plan(snapshot).attribution is Attribution.QUIET
    seal_checkpoint(setting.store, snapshot, quiet.components, Attribution.TRANSACTION, actor=ACTOR)
    assert setting.plan(snapshot).attribution is Attribution.TRANSACTION


def test_a_checkpoint_of_another_snapshot_is_not_found(setting: Setting) -> None:
    other = setting.checkpoint(setting.snapshot())
    snapshot = setting.snapshot()
    with pytest.raises(NotFoundError, match=f"no checkpoint {other.id!r}"):
        setting.plan(snapshot, checkpoint_id=other.id)


@pytest.mark.parametrize("wanted", ["nothing-20260101T000000Z-0123456789ab", "../store", "", "a/b"])
def test_an_unknown_snapshot_is_not_found(setting: Setting, wanted: str) -> None:
    with pytest.raises(NotFoundError, match="snapshot"):
        generate(setting.store, wanted, no_connections, setting.progress, actor=ACTOR)


def test_a_refused_plan_is_not_stored(setting: Setting) -> None:
    snapshot = setting.snapshot()
    write_row(setting.database, "orders", "1", {"total": "1000"})
    setting.checkpoint(snapshot)
    write_row(setting.database, "orders", "1", {"total": "12"})
    with pytest.raises(ConflictError, match=r"^db: orders/1"):
        setting.plan(snapshot, policy=Policy(conflicts="fail"))
    assert not Repository(setting.store).rollback_ids()


def test_the_ledger_counts_by_component_and_scope(setting: Setting) -> None:
    snapshot = setting.snapshot()
    setting.migrate()
    plan = setting.plan(snapshot)
    counts = {(count.component, count.scope, count.action): count.count for count in plan.ledger.counts}
    assert counts == {
        (component, scope, Action.AMBIGUOUS): rows
        for component in ("app", "db")
        for scope, rows in (("items", 1), ("orders", 2))
    }
    assert plan.ledger.examined == {"app/items": 1, "app/orders": 2, "db/items": 1, "db/orders": 2}


def test_a_plan_is_found_again_as_it_was_made(setting: Setting) -> None:
    plan = setting.migrated()
    assert Repository(setting.store).plan(plan.rollback_id) == plan
    assert plan.order == (("app",), ("db",))
    assert plan.actor == ACTOR


@pytest.mark.usefixtures("careless_kind")
def test_step_ids_that_are_used_twice_are_refused(setting: Setting) -> None:
    spec = ComponentSpec(kind="careless", name="db", options={"system": setting.database})
    snapshot = take_snapshot(setting.store, "m", [spec], no_connections, setting.progress, actor=ACTOR)
    setting.migrate()
    with pytest.raises(ComponentError, match="used twice: 1"):
        setting.plan(snapshot)
    assert not Repository(setting.store).rollback_ids()


def test_a_part_that_others_rely_on_is_refused_unless_told(setting: Setting) -> None:
    snapshot = setting.snapshot()
    setting.migrate()
    with pytest.raises(ConfigurationError, match=r"^db: app was migrated after it, relies on it, and is not chosen"):
        setting.plan(snapshot, policy=Policy(only=("db",)))
    plan = setting.plan(snapshot, policy=Policy(only=("db",), leave_behind=True))
    assert plan.components[0].notes == ("app was migrated after db and stays as it is",)
    assert setting.plan(snapshot, policy=Policy(only=("app",))).components[0].notes == ()
