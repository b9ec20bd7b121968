"""Stacks of CloudFormation beyond the contract: change sets, waiting, parameters that AWS does not show, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from rollback_provider.components.infrastructure.cloudformation import CloudformationComponent
from rollback_provider.core.errors import (
    BusyError,
    ComponentUnavailableError,
    ConfigurationError,
    StepFailedError,
    UnsupportedError,
)
from rollback_provider.core.model import Action
from rollback_provider.core.repository import Store
from rollback_provider.resources import Change, Digests, MovedError
from tests.contract.suite import Scenario
from tests.contract.test_cloudformation import APP, PASSWORD, CloudformationHarness, topic
from tests.fix_progress import RecordedProgress
from tests.fix_store import S3
from tests.parts.gate import Gate, answer

PassedOn = Callable[[], httpx.Response]
DESCRIBES = ("cloudformation", "DescribeStacks")


@pytest.fixture
def shop(s3: S3, gate: Gate) -> CloudformationHarness:
    """Stacks behind the gate."""
    made = CloudformationHarness(s3)
    made.endpoint = gate.endpoint
    return made


@pytest.fixture
def component(shop: CloudformationHarness) -> CloudformationComponent:
    return CloudformationComponent(shop.spec, shop.resolve)


def only(shop: CloudformationHarness, **options: Any) -> None:
    """Lets the harness have other options."""
    shop.spec = shop.spec.model_copy(update={"options": {**shop.spec.options, **options}})


def saying(status: str) -> Callable[[PassedOn], httpx.Response]:
    """Moto's stacks are always complete, so its answer is altered."""

    def say(passed_on: PassedOn) -> httpx.Response:
        content = passed_on().content.replace(b"UPDATE_COMPLETE", status.encode())
        return httpx.Response(200, content=content.replace(b"CREATE_COMPLETE", status.encode()))

    return say


def test_stacks_go_back_in_the_reverse_order(shop: CloudformationHarness, memory_store: Store) -> None:
    _, plan = Scenario(shop, memory_store).migrated()
    assert [step.payload["addresses"] for step in plan.steps] == [[shop.app], [shop.topics]]


def test_what_others_set_of_a_stack_since_stays(shop: CloudformationHarness, memory_store: Store) -> None:
    """Each parameter is a field."""
    scenario = Scenario(shop, memory_store)
    snapshot = scenario.snapshot()
    shop.migrate()
    scenario.checkpoint(snapshot)
    shop.update(Tenants="ada,bob")
    plan = scenario.generate(snapshot)
    assert plan.ledger.total(Action.MERGED) == 1
    scenario.execute(plan)
    assert shop.state()["settings"] == {"workers": "4", "tenants": "ada,bob"}


def test_a_parameter_that_aws_does_not_show_keeps_its_value(
    shop: CloudformationHarness, component: CloudformationComponent, memory_store: Store
) -> None:
    """It is neither read nor written, and the plan says so."""
    scenario = Scenario(shop, memory_store)
    snapshot = scenario.snapshot()
    shop.migrate()
    shop.update(Password="other")  # noqa: S106  so that it stays
    plan = scenario.generate(snapshot)
    assert any("Password keeps the value that it has now" in note for note in plan.components[0].notes)
    scenario.execute(plan)
    (stack,) = shop.stacks.describe_stacks(StackName=shop.app)["Stacks"]
    assert {"ParameterKey": "Password", "ParameterValue": "other"} in stack["Parameters"]
    assert PASSWORD not in json.dumps(component.read(Digests()))


def test_a_hidden_parameter_that_went_is_refused(shop: CloudformationHarness, memory_store: Store) -> None:
    scenario = Scenario(shop, memory_store)
    snapshot = scenario.snapshot()
    template = APP.format(release=2).replace("  Password: {Type: String, NoEcho: true}\n", "")
    values = [{"ParameterKey": key, "UsePreviousValue": True} for key in ("Workers", "Tenants")]
    shop.stacks.update_stack(StackName=shop.app, TemplateBody=template, Parameters=values)
    with pytest.raises(UnsupportedError, match=r"stacks: app-.*: the value of Password went with the migration"):
        scenario.generate(snapshot)


def test_what_aws_removes_is_told_before_it_is_executed(
    shop: CloudformationHarness, component: CloudformationComponent, memory_store: Store
) -> None:
    before = component.read(memory_store)[shop.topics]
    shop.migrate()
    progress = RecordedProgress()
    now = component.read(memory_store)[shop.topics]
    component.write([Change(shop.topics, now, before)], memory_store, progress)
    assert f"stacks: {shop.topics}: AWS::SNS::Topic Payments is removed" in progress.messages


def test_somebody_updates_a_stack_meanwhile(
    shop: CloudformationHarness, component: CloudformationComponent, gate: Gate, memory_store: Store
) -> None:
    """Before the change set is made: it is not executed. After: AWS refuses it, in moto's mouth."""
    before = component.read(memory_store)[shop.app]
    shop.update(2, Workers="8")
    now = component.read(memory_store)[shop.app]
    change = Change(shop.app, now, before)

    def race(passed_on: PassedOn) -> httpx.Response:
        shop.update(Workers="9")
        return passed_on()

    with gate.troubling("cloudformation", "CreateChangeSet", race), pytest.raises(MovedError, match="app"):
        component.write([change], memory_store, RecordedProgress())
    assert shop.drifted()
    shop.update(Workers="8")
    with (
        gate.refusing("cloudformation", "ExecuteChangeSet", "InvalidChangeSetStatus"),
        pytest.raises(MovedError, match="since its change set was made"),
    ):
        component.write([change], memory_store, RecordedProgress())


def test_a_change_set_that_aws_cannot_make_leaves_the_stack_as_it_is(
    shop: CloudformationHarness, component: CloudformationComponent, memory_store: Store
) -> None:
    """Moto makes none where nothing changes but the template's text."""
    now = component.read(memory_store)[shop.topics]
    text = memory_store.get_blob(now["template"]).decode() + "\n"
    target = {"template": memory_store.put_blob(text.encode()).digest}
    with pytest.raises(StepFailedError, match=r"stacks: AWS makes no change set for topics-.* The stack is as it was"):
        component.write([Change(shop.topics, now, target)], memory_store, RecordedProgress())


def test_an_update_that_fails_is_told_and_can_be_tried_again(
    shop: CloudformationHarness, gate: Gate, memory_store: Store
) -> None:
    """AWS has taken the stack back to where the migration left it."""
    scenario, before = Scenario(shop, memory_store), shop.state()
    _, plan = scenario.migrated(write=False)
    executed = answer("cloudformation", "ExecuteChangeSet", {})
    with (
        gate.troubling("cloudformation", "ExecuteChangeSet", lambda _: executed),
        gate.troubling(*DESCRIBES, saying("UPDATE_ROLLBACK_COMPLETE")),
        pytest.raises(StepFailedError, match=r"stacks: Stack app-.* is UPDATE_ROLLBACK_COMPLETE"),
    ):
        scenario.execute(plan)
    scenario.execute(plan)
    scenario.assert_back(plan, before)


def test_a_retry_waits_for_the_update_that_was_begun(
    shop: CloudformationHarness, gate: Gate, memory_store: Store
) -> None:
    """And does not begin another."""
    only(shop, stack_seconds=0.0)
    scenario, before = Scenario(shop, memory_store), shop.state()
    _, plan = scenario.migrated(write=False)
    with gate.losing_answers("cloudformation", "ExecuteChangeSet"), pytest.raises(ComponentUnavailableError):
        scenario.execute(plan)
    assert shop.state()["settings"]["workers"] == "4"
    with (
        gate.troubling(*DESCRIBES, saying("UPDATE_IN_PROGRESS")),
        pytest.raises(BusyError, match=r"stacks: Stack app-.* is UPDATE_IN_PROGRESS"),
    ):
        scenario.execute(plan)
    with gate.troubling("cloudformation", "ExecuteChangeSet", lambda passed_on: passed_on()):
        scenario.execute(plan)
    assert gate.asked.count("ExecuteChangeSet") == 2, "one for each stack"
    scenario.assert_back(plan, before)


def test_a_stack_that_is_being_updated_is_busy(component: CloudformationComponent, gate: Gate) -> None:
    with (
        gate.troubling(*DESCRIBES, saying("UPDATE_IN_PROGRESS")),
        pytest.raises(BusyError, match="stacks: Stack topics"),
    ):
        component.read(Digests())


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_FAILED", "ROLLBACK_COMPLETE", "DELETE_FAILED"])
def test_a_stack_that_cannot_be_updated_is_refused(component: CloudformationComponent, gate: Gate, status: str) -> None:
    with gate.troubling(*DESCRIBES, saying(status)), pytest.raises(UnsupportedError, match=rf"topics-.* is {status}"):
        component.read(Digests())


def test_a_template_that_is_too_large_is_refused(shop: CloudformationHarness, memory_store: Store) -> None:
    scenario = Scenario(shop, memory_store)
    large = json.loads(topic("Orders")) | {"Metadata": {"notes": "x" * 52_000}}
    shop.stacks.update_stack(StackName=shop.topics, TemplateBody=json.dumps(large, indent=2))
    snapshot = scenario.snapshot()
    shop.migrate()
    with pytest.raises(
        UnsupportedError, match=r"stacks: The template of topics-.* takes more than 51,200 from S3 alone"
    ):
        scenario.generate(snapshot)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stacks": ["nowhere"]}, "stacks: There is no stack nowhere"),
        ({"stacks": []}, "stacks"),
        ({"stacks": ["a_b"]}, "stacks"),
        ({"stack_seconds": -1}, "stack_seconds"),
    ],
)
def test_what_there_is_not(shop: CloudformationHarness, options: dict[str, Any], message: str) -> None:
    only(shop, **options)
    with pytest.raises(ConfigurationError, match=message):
        CloudformationComponent(shop.spec, shop.resolve).read(Digests())


def test_a_script_makes_shows_and_executes_a_change_set(shop: CloudformationHarness, memory_store: Store) -> None:
    _, plan = Scenario(shop, memory_store).migrated()
    lines = plan.steps[0].script.splitlines()
    assert [" ".join(line.split()[2:4]).partition(" --")[0] for line in lines] == [
        "create-change-set",
        "wait change-set-create-complete",
        "describe-change-set",
        "execute-change-set",
        "wait stack-update-complete",
    ]
    assert "--template-body file://blobs/" in lines[0]
    assert "UsePreviousValue" in lines[0]
    assert PASSWORD not in plan.steps[0].script
