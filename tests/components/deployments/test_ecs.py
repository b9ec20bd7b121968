"""Services of ECS beyond the contract: waiting for them, what is refused, what autoscaling has set."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from rollback_provider.components.deployments.ecs import EcsComponent
from rollback_provider.core.errors import ConfigurationError, StepFailedError, UnsupportedError
from rollback_provider.core.model import Action
from rollback_provider.core.repository import Store
from rollback_provider.resources import Change, Digests, MovedError
from tests.contract.suite import Scenario
from tests.contract.test_ecs import EcsHarness, register
from tests.fix_progress import RecordedProgress
from tests.fix_store import S3
from tests.parts.gate import Gate


@pytest.fixture
def shop(s3: S3, gate: Gate) -> EcsHarness:
    """Services behind the gate."""
    made = EcsHarness(s3)
    made.endpoint = gate.endpoint
    return made


def component(shop: EcsHarness, **options: Any) -> EcsComponent:
    """The kind, with other options."""
    spec = shop.spec.model_copy(update={"options": {**shop.spec.options, **options}})
    return EcsComponent(spec, shop.resolve)


def only(shop: EcsHarness, *names: str, **options: Any) -> None:
    """Lets the harness name other services."""
    shop.spec = shop.spec.model_copy(update={"options": {**shop.spec.options, "services": names, **options}})


def test_a_step_waits_until_services_are_stable_and_a_retry_goes_on_waiting(
    shop: EcsHarness, memory_store: Store
) -> None:
    """Moto starts no task of a service that was made with some, until their number is changed."""
    name = shop.names["web"].replace("web", "slow")
    shop.make(name, desiredCount=2)
    only(shop, name, stable_seconds=0.0)
    scenario = Scenario(shop, memory_store)
    snapshot = scenario.snapshot()
    shop.ecs.update_service(cluster="shops", service=name, taskDefinition=shop.revisions[2])
    plan = scenario.generate(snapshot)
    for _ in range(2):
        with pytest.raises(StepFailedError, match=rf"shop: Not stable after 0 seconds: {name} runs 0 of 2 tasks"):
            scenario.execute(plan)
    shop.ecs.update_service(cluster="shops", service=name, desiredCount=2)
    assert scenario.execute(plan).execution.status == "executed"
    assert scenario.verify(plan).execution.status == "verified"


def test_verification_measures_whether_services_are_stable(shop: EcsHarness, memory_store: Store) -> None:
    name = shop.names["web"].replace("web", "slow")
    shop.make(name, desiredCount=2)
    only(shop, name)
    scenario = Scenario(shop, memory_store)
    plan = scenario.generate(scenario.snapshot())
    scenario.execute(plan)
    record = scenario.verify(plan)
    assert record.execution.status == "executed"
    failed = [each for each in record.execution.verification.checks if each.name == "stable"]
    assert failed[0].differences == (f"{name} runs 0 of 2 tasks, by 1 deployment",)


def test_a_deployment_that_ecs_gives_up_is_told_at_once(shop: EcsHarness, gate: Gate, memory_store: Store) -> None:
    """Moto never gives up, so its answer is altered."""
    scenario, before = Scenario(shop, memory_store), shop.state()
    _, plan = scenario.migrated(write=False)

    def failed(passed_on: Callable[[], httpx.Response]) -> httpx.Response:
        return httpx.Response(200, content=passed_on().content.replace(b"COMPLETED", b"FAILED"))

    with (
        gate.troubling("ecs", "DescribeServices", failed),
        pytest.raises(StepFailedError, match="shop: ECS has given up the deployment of web-"),
    ):
        scenario.execute(plan)
    scenario.execute(plan)
    scenario.assert_back(plan, before)


def test_what_autoscaling_has_set_since_stays(shop: EcsHarness, memory_store: Store) -> None:
    """The task definition goes back without it."""
    scenario = Scenario(shop, memory_store)
    snapshot = scenario.snapshot()
    shop.deploy("web", 2, 3)
    scenario.checkpoint(snapshot)
    shop.deploy("web", 2, 8)
    plan = scenario.generate(snapshot)
    assert plan.ledger.total(Action.MERGED) == 1
    scenario.execute(plan)
    assert shop.state()["web"] == (shop.revisions[1], 8, 8)


def test_a_task_definition_that_was_deregistered_is_refused_before_anything_is_changed(
    shop: EcsHarness, s3: S3, memory_store: Store
) -> None:
    old = register(s3, "other", 1)
    shop.ecs.update_service(cluster="shops", service=shop.names["web"], taskDefinition=old)
    scenario = Scenario(shop, memory_store)
    snapshot = scenario.snapshot()
    shop.migrate()
    shop.ecs.deregister_task_definition(taskDefinition=old)
    with pytest.raises(UnsupportedError, match=r"shop: web-.* ran other:1, which was deregistered"):
        scenario.generate(snapshot)


def test_somebody_is_faster(shop: EcsHarness) -> None:
    before = shop.state()
    was = {"task_definition": shop.revisions[3], "desired_count": 3}
    with pytest.raises(MovedError, match="web"):
        component(shop).write([Change(shop.part, was, was)], Digests(), RecordedProgress())  # type: ignore[arg-type]  # it reads no blob
    assert shop.state() == before


def test_services_that_others_deploy_are_refused(shop: EcsHarness) -> None:
    name = shop.names["web"].replace("web", "blue")
    shop.make(name, deploymentController={"type": "CODE_DEPLOY"})
    with pytest.raises(UnsupportedError, match=r"blue-.* is deployed by CODE_DEPLOY"):
        component(shop, services=[name]).read(Digests())


def test_a_service_on_every_machine_has_no_desired_count(shop: EcsHarness) -> None:
    name = shop.names["web"].replace("web", "agent")
    shop.make(name, schedulingStrategy="DAEMON")
    assert component(shop, services=[name]).read(Digests()) == {name: {"task_definition": shop.revisions[1]}}


def test_more_services_than_one_call_describes(shop: EcsHarness) -> None:
    names = [shop.names["web"].replace("web", f"many{number}") for number in range(23)]
    for name in names:
        shop.make(name)
    assert [*component(shop, services=names).read(Digests())] == names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"services": ["nowhere"]}, "shop: Cluster shops has no service nowhere"),
        ({"cluster": "nowhere"}, "shop: Cluster nowhere has no service"),
        ({"services": []}, "services"),
        ({"services": ["arn:aws:ecs:x"]}, "services"),
        ({"stable_seconds": -1}, "stable_seconds"),
    ],
)
def test_what_there_is_not(shop: EcsHarness, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        component(shop, **options).read(Digests())


def test_a_script_changes_what_changed_and_waits(shop: EcsHarness, memory_store: Store) -> None:
    _, plan = Scenario(shop, memory_store).migrated()
    *updates, wait = plan.steps[0].script.splitlines()
    sent = [json.loads(shlex.split(line)[-1]) for line in updates]
    assert sent == [
        {"cluster": "shops", "service": shop.names["web"], "taskDefinition": shop.revisions[1], "desiredCount": 3},
        {"cluster": "shops", "service": shop.names["worker"], "taskDefinition": shop.revisions[1]},
    ]
    assert wait.startswith("aws ecs wait services-stable --cluster shops --services web-")
