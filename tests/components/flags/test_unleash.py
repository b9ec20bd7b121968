"""Flags of Unleash: the way back call by call, what is merged, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rollback_provider.components.flags.unleash import UnleashComponent
from rollback_provider.components.flags.unleash_stages import call, stages
from rollback_provider.core.errors import (
    ComponentUnavailableError,
    ConfigurationError,
    PermissionDeniedError,
    StepFailedError,
)
from rollback_provider.core.model import Action, ComponentSpec
from rollback_provider.core.repository import Store
from rollback_provider.resources import Change, Digests, MovedError
from tests.contract.suite import Scenario
from tests.contract.test_unleash import UnleashHarness
from tests.fix_progress import RecordedProgress
from tests.fix_unleash import Unleash

ABOUT = {"description": "", "type": "release", "stale": False, "impressionData": False}


def strategy(name: str, *, disabled: bool = False) -> dict[str, Any]:
    return {"name": name, "disabled": disabled}


@pytest.mark.parametrize(
    ("now", "target", "calls"),
    [
        ({}, {}, []),
        ({}, {"stale": True}, ["PUT "]),
        ({"dev.enabled": True}, {}, ["POST dev/off"]),
        ({}, {"dev.strategies": [strategy("a")], "dev.enabled": True}, ["POST dev/strategies", "POST dev/on"]),
        (
            {"dev.strategies": [strategy("a"), strategy("b"), strategy("c")], "dev.enabled": True},
            {"dev.strategies": [strategy("a"), strategy("x")], "dev.enabled": True},
            ["PUT dev/strategies/1", "DELETE dev/strategies/2"],
        ),
        (
            {"dev.strategies": [strategy("a")], "dev.enabled": True},
            {"dev.strategies": [strategy("a", disabled=True), strategy("b")], "dev.enabled": True},
            ["PUT dev/strategies/0", "POST dev/strategies", "POST dev/on"],
        ),
        (
            {"dev.strategies": [strategy("a")], "dev.enabled": True, "prod.enabled": True},
            {"prod.strategies": [strategy("a")]},
            ["POST dev/off", "POST prod/off", "DELETE dev/strategies/0", "POST prod/strategies"],
        ),
    ],
)
def test_the_way_from_one_flag_to_another(now: dict[str, Any], target: dict[str, Any], calls: list[str]) -> None:
    at, made = {**ABOUT, **now}, []
    for stage in stages(at, {**ABOUT, **target}):
        ids = {name: [str(number) for number in range(3)] for name in ("dev", "prod")}
        ids = {name: each[: len(at.get(f"{name}.strategies", []))] for name, each in ids.items()}
        method, path, _ = call(at, stage, ids)
        made.append(f"{method} {path.removeprefix('/environments/')}")
        at = stage
    assert made == calls
    assert at == {**ABOUT, **target}


@pytest.fixture
def harness(unleash: Unleash, next_project: Callable[[], str]) -> UnleashHarness:
    return UnleashHarness(unleash, next_project())


@pytest.fixture
def flags(harness: UnleashHarness) -> UnleashComponent:
    return UnleashComponent(harness.spec, harness.resolve)


def test_what_users_changed_after_the_checkpoint_is_kept(harness: UnleashHarness, memory_store: Store) -> None:
    scenario = Scenario(harness, memory_store)
    snapshot = scenario.snapshot()
    harness.migrate()
    scenario.checkpoint(snapshot)
    body = {"description": "for the till", "type": "release", "impressionData": False}
    harness.ask("PUT", f"/features/{harness.checkout}", body)
    harness.ask("POST", f"/features/{harness.checkout}/environments/development/on")
    plan = scenario.generate(snapshot)
    assert plan.ledger.total(Action.MERGED) == 1
    scenario.execute(plan)
    found = harness.ask("GET", f"/features/{harness.checkout}")
    enabled = {each["name"]: each["enabled"] for each in found["environments"]}
    assert (found["description"], enabled) == ("for the till", {"development": True, "production": False})
    assert scenario.verify(plan).execution.status == "verified"


def test_a_plan_says_what_goes_on_and_off_and_how_by_hand(harness: UnleashHarness, memory_store: Store) -> None:
    scenario = Scenario(harness, memory_store)
    _, plan = scenario.migrated(write=False)
    notes = plan.components[0].notes
    assert f"{harness.checkout}: off in production" in notes
    assert f"{harness.old}: on in production" in notes
    assert [note for note in notes if note.startswith(f"{harness.search}: archived, and can be revived")]
    script = "\n".join(step.script for step in plan.steps)
    assert f"/features/{harness.checkout}/environments/production/off" in script
    assert f"/features/{harness.checkout}/environments/production/strategies/ID_OF_STRATEGY_1" in script
    assert "$UNLEASH_TOKEN" in script
    assert [step.title.partition(", ")[2] for step in plan.steps] == ["call 1 of 3", "call 2 of 3", "call 3 of 3"]


def test_a_flag_that_was_deleted_is_created_again(
    harness: UnleashHarness, flags: UnleashComponent, memory_store: Store
) -> None:
    before = flags.read(Digests())[harness.checkout]
    harness.ask("POST", "/archive", {"features": [harness.checkout]})
    harness.ask("POST", "/delete", {"features": [harness.checkout]})
    for batch in flags.batches([Change(harness.checkout, None, before)], memory_store):
        flags.write(batch.changes, memory_store, RecordedProgress())
    assert flags.read(Digests())[harness.checkout] == before


def test_a_flag_that_has_changed_is_not_overwritten(
    harness: UnleashHarness, flags: UnleashComponent, memory_store: Store
) -> None:
    now = flags.read(Digests())[harness.checkout]
    harness.drift()
    with pytest.raises(MovedError, match=harness.checkout):
        flags.write([Change(harness.checkout, now, None)], memory_store, RecordedProgress())
    assert harness.drifted()


def test_what_unleash_refuses(harness: UnleashHarness, flags: UnleashComponent, memory_store: Store) -> None:
    now = flags.read(Digests())[harness.old]
    target = {**now, "production.strategies": [{**now["production.strategies"][0], "name": "unknown"}]}
    with pytest.raises(StepFailedError, match=r"flags: .*Could not find strategy type with name unknown"):
        flags.write([Change(harness.old, now, target)], memory_store, RecordedProgress())


def test_only_flags_that_a_pattern_names_are_read(harness: UnleashHarness) -> None:
    options = {"project": harness.project, "flags": ["*.old"]}
    flags = UnleashComponent(harness.spec.model_copy(update={"options": options}), harness.resolve)
    assert [*flags.read(Digests())] == [harness.old]


def test_a_project_that_is_not_there(unleash: Unleash) -> None:
    spec = ComponentSpec(kind="unleash", name="flags", connection="unleash", options={"project": "nowhere"})
    with pytest.raises(ComponentUnavailableError, match="Unleash has no project 'nowhere'"):
        UnleashComponent(spec, lambda _: unleash.connection()).read(Digests())


@pytest.mark.parametrize("token", [None, "*:*.unknown"])
def test_who_may_not(unleash: Unleash, harness: UnleashHarness, token: str | None) -> None:
    connection = replace(unleash.connection(), password=token)
    with pytest.raises(PermissionDeniedError, match=r"flags: .*answered 401"):
        UnleashComponent(harness.spec, lambda _: connection).read(Digests())


def test_options(unleash: Unleash) -> None:
    spec = ComponentSpec(kind="unleash", name="flags", connection="unleash", options={"flags": []})
    with pytest.raises(ConfigurationError, match="flags"):
        UnleashComponent(spec, lambda _: unleash.connection())
