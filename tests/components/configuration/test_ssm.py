"""Parameters of Systems Manager beyond the contract: secrets, others who are faster, what is refused."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from rollback_provider.components.configuration.ssm import SsmComponent
from rollback_provider.core.errors import ConfigurationError, UnsupportedError
from rollback_provider.core.repository import Store
from rollback_provider.resources import Change, Digests, MovedError
from tests.contract.suite import Scenario
from tests.contract.test_ssm import SsmHarness
from tests.fix_progress import RecordedProgress
from tests.fix_store import S3
from tests.parts.gate import Gate


@pytest.fixture
def shop(s3: S3) -> SsmHarness:
    return SsmHarness(s3)


@pytest.fixture
def component(shop: SsmHarness) -> SsmComponent:
    return SsmComponent(shop.spec, shop.resolve)


@pytest.mark.parametrize("anew", [False, True])
def test_a_secret_that_was_deleted_is_refused_before_anything_is_changed(
    shop: SsmHarness, memory_store: Store, anew: bool
) -> None:
    """Its versions went with it, and those of a new one are others."""
    scenario = Scenario(shop, memory_store)
    snapshot = scenario.snapshot()
    shop.migrate()
    shop.remove("token")
    if anew:
        shop.put("token", "third-hush", Type="SecureString")
    scenario.checkpoint(snapshot)
    with pytest.raises(UnsupportedError, match=rf"settings: The value that the secret {shop.path}/token had is gone"):
        scenario.generate(snapshot)


def test_a_secret_that_was_made_anew_is_another_though_it_has_the_same_version(
    shop: SsmHarness, component: SsmComponent
) -> None:
    name = f"{shop.path}/token"
    before = component.read(Digests())[name]
    shop.remove("token")
    shop.put("token", "else", Type="SecureString")
    after = component.read(Digests())[name]
    assert after["secret"]["version"] == before["secret"]["version"] == 1
    assert after["secret"] != before["secret"]


def test_a_secret_that_is_set_to_what_it_was_is_what_it_was(shop: SsmHarness, component: SsmComponent) -> None:
    before = component.read(Digests())
    for value in ("second-hush", "first-hush"):
        shop.put("token", value, Type="SecureString")
    assert component.read(Digests()) == before
    assert "hush" not in json.dumps(before)


def test_a_secret_that_the_migration_made_goes_and_the_plan_says_for_good(
    shop: SsmHarness, memory_store: Store
) -> None:
    scenario, before = Scenario(shop, memory_store), shop.state()
    snapshot = scenario.snapshot()
    shop.put("key", "third-hush", Type="SecureString")
    scenario.checkpoint(snapshot)
    plan = scenario.generate(snapshot)
    assert any(f"{shop.path}/key: a secret" in note for note in plan.components[0].notes)
    scenario.execute(plan)
    scenario.assert_back(plan, before)
    with pytest.raises(UnsupportedError, match=f"secret {shop.path}/key had is gone"):
        scenario.undo(plan)


@pytest.mark.parametrize("removed", [False, True])
def test_somebody_is_faster_and_what_they_wrote_is_on_top_again(
    shop: SsmHarness, gate: Gate, memory_store: Store, removed: bool
) -> None:
    """The version of our write says that another was in between."""
    scenario = Scenario(shop, memory_store)
    _, plan = scenario.migrated(write=False)
    shop.endpoint = gate.endpoint
    raced = False

    def race(passed_on: Callable[[], httpx.Response]) -> httpx.Response:
        nonlocal raced
        if not raced:
            raced = True
            for name in ("workers", "hosts", "old"):
                shop.remove(name)
                if not removed:
                    shop.put(name, "theirs", Description="their own")
        return passed_on()

    with gate.troubling("ssm", "PutParameter", race):
        record = scenario.execute(plan)
    assert record.execution.status == "executed"
    state = shop.state()
    assert "workers" not in state if removed else state["workers"] == ("String", "theirs", ("their own", None))


def test_someone_changed_it_since_it_was_read(component: SsmComponent, shop: SsmHarness) -> None:
    name = f"{shop.path}/old"
    for now in (None, {"type": "String", "data_type": "text", "value": "y"}):
        with pytest.raises(MovedError, match=name):
            component.write([Change(name, now, None)], Digests(), RecordedProgress())  # type: ignore[arg-type]  # it reads no blob


def test_parameters_with_policies_are_refused_unless_they_are_excluded(
    shop: SsmHarness, component: SsmComponent
) -> None:
    expires = {"Type": "Expiration", "Version": "1.0", "Attributes": {"Timestamp": "2030-01-01T00:00:00.000Z"}}
    shop.put("lease", "x", Tier="Advanced", Policies=json.dumps([expires]))
    with pytest.raises(UnsupportedError, match=f"{shop.path}/lease has policies"):
        component.read(Digests())


def test_many_and_large_parameters(shop: SsmHarness, memory_store: Store) -> None:
    """More than a page has; and a value beyond the standard tier."""
    for number in range(25):
        shop.put(f"many/{number}", "x")
    shop.put("large", "x" * 5000, Tier="Advanced")
    scenario, before = Scenario(shop, memory_store), shop.state()
    snapshot = scenario.snapshot()
    for number in range(25):
        shop.remove(f"many/{number}")
    shop.remove("large")
    plan = scenario.generate(snapshot)
    assert '"Tier": "Advanced"' in plan.steps[0].script
    scenario.execute(plan)
    scenario.assert_back(plan, before)


def test_commands(component: SsmComponent) -> None:
    secret = {"type": "SecureString", "data_type": "text", "key": "k", "secret": {"version": 3, "written": "…"}}
    words = shlex.split(component.command(Change("/shop/token", {**secret, "key": "j"}, secret)))
    assert words[:3] == ["aws", "ssm", "put-parameter"]
    assert words[words.index("--value") + 1].startswith(
        "$(aws ssm get-parameter --with-decryption --name /shop/token:3 "
    )
    plain = {"type": "String", "data_type": "text", "value": "it's"}
    assert component.command(Change("/shop/x", plain, None)).startswith("aws ssm delete-parameter")
    anew = component.command(Change("/shop/x", {**plain, "type": "StringList"}, plain)).splitlines()
    assert [line.split()[2] for line in anew] == ["delete-parameter", "put-parameter"]
    assert json.loads(shlex.split(anew[1])[-1])["Value"] == "it's"


@pytest.mark.parametrize("options", [{"path": "shop"}, {"path": "/shop/"}, {"path": "/shop", "keys": ["/x"]}, {}])
def test_options(shop: SsmHarness, options: dict[str, Any]) -> None:
    spec = shop.spec.model_copy(update={"options": options})
    with pytest.raises(ConfigurationError, match="settings"):
        SsmComponent(spec, shop.resolve)


def test_a_path_below_which_there_is_nothing(shop: SsmHarness) -> None:
    """Is one whose parameters may still come: the migration may make them."""
    spec = shop.spec.model_copy(update={"options": {"path": "/nowhere"}})
    assert SsmComponent(spec, shop.resolve).read(Digests()) == {}
