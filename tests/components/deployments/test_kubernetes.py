"""What a cluster can answer, from an emulated API server: merged fields, stuck rollouts, conflicts and refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rollback_provider.components.deployments.kubernetes_api import KubernetesApi, rollout_left
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import (
    ComponentUnavailableError,
    ConfigurationError,
    PermissionDeniedError,
    StepFailedError,
)
from rollback_provider.core.model import Action
from rollback_provider.core.repository import Store
from rollback_provider.core.verification import CheckStatus
from rollback_provider.resources import MovedError
from tests.contract.suite import Scenario
from tests.contract.test_kubernetes import KubernetesHarness
from tests.parts import free_port
from tests.parts.api_server import ApiServer


@pytest.fixture
def harness(api_server: ApiServer, next_namespace: Callable[[], str]) -> KubernetesHarness:
    return KubernetesHarness(api_server, next_namespace())


@pytest.fixture
def scenario(harness: KubernetesHarness, memory_store: Store) -> Scenario:
    return Scenario(harness, memory_store)


def test_what_an_autoscaler_and_a_colleague_have_set_stays(harness: KubernetesHarness, scenario: Scenario) -> None:
    snapshot = scenario.snapshot()
    harness.migrate()
    scenario.checkpoint(snapshot)
    harness.deploy("web", "shop:2", replicas=7)
    harness.configure("settings", {"rate": "500", "plan": "paid", "engine": "on"})
    plan = scenario.generate(snapshot)
    assert plan.ledger.total(Action.MERGED) == 2
    assert "kubectl set image deployment web app=shop:1" in plan.steps[1].script
    scenario.execute(plan)
    assert scenario.verify(plan).execution.status == "verified"
    assert harness.server.objects[harness.path("deployment/web")]["spec"]["replicas"] == 7
    assert harness.container("web")["image"] == "shop:1"
    assert harness.server.objects[harness.path("configmap/settings")]["data"] == {"rate": "100", "plan": "paid"}
    assert harness.path("configmap/engine") not in harness.server.objects


def test_a_deployment_that_the_migration_deleted_is_made_again(harness: KubernetesHarness, scenario: Scenario) -> None:
    before = harness.state()
    snapshot = scenario.snapshot()
    del harness.server.objects[harness.path("deployment/web")]
    plan = scenario.generate(snapshot)
    scenario.execute(plan)
    scenario.assert_back(plan, before)


def test_a_rollout_that_does_not_come_about_is_an_error_and_is_awaited_again(
    harness: KubernetesHarness, scenario: Scenario
) -> None:
    harness.spec = harness.spec.model_copy(update={"options": {**harness.spec.options, "rollout_seconds": 0.1}})
    harness.deploy("web", f"shop:old-{harness.namespace}", replicas=2)
    snapshot = scenario.snapshot()
    harness.deploy("web", "shop:2", replicas=2)
    plan = scenario.generate(snapshot)
    harness.server.stuck.add(f"shop:old-{harness.namespace}")
    for _ in range(2):
        with pytest.raises(StepFailedError, match="rollout is not complete: 0 of 2 updated, 2 available"):
            scenario.execute(plan)
    harness.server.stuck.clear()
    scenario.execute(plan)
    assert scenario.verify(plan).execution.status == "verified"
    harness.server.stuck.add(f"shop:old-{harness.namespace}")
    harness.server.look(harness.path("deployment/web"))
    checks = {check.name: check for check in scenario.verify(plan).execution.verification.checks}
    harness.server.stuck.clear()
    assert checks["rollouts"].status is CheckStatus.FAILED
    assert "deployment/web: 0 of 2 updated" in str(checks["rollouts"].differences)


def test_a_progress_deadline_ends_the_wait() -> None:
    condition = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "no image"}
    found = {"metadata": {"generation": 2}, "spec": {}, "status": {"conditions": [condition]}}
    assert rollout_left(found) == "failed: no image"
    assert rollout_left({**found, "status": {"observedGeneration": 1}}) == "not observed yet"


def test_the_api_refuses_what_is_stale_invalid_or_unknown(harness: KubernetesHarness) -> None:
    api = KubernetesApi("shop", harness.resolve("cluster"), harness.namespace)
    api.get("deployment/web")
    found = api.get("deployment/web")  # as the controller has left it
    assert found is not None
    assert api.get("deployment/nothing") is None
    harness.deploy("web", "shop:2")
    with pytest.raises(MovedError):
        api.replace("deployment/web", found)
    with pytest.raises(MovedError):
        api.delete("deployment/web", found["metadata"]["resourceVersion"])
    with pytest.raises(MovedError):
        api.create("deployment/web", {**found, "metadata": {**found["metadata"], "labels": {}, "annotations": {}}})
    api.get("deployment/web")
    current = api.get("deployment/web")
    assert current is not None
    current["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    with pytest.raises(StepFailedError, match=r"answered 422: .*immutable"):
        api.replace("deployment/web", current)
    api.delete("deployment/nothing", "1")
    api.close()


def test_who_may_not_and_who_cannot_be_reached(harness: KubernetesHarness) -> None:
    with harness.wrong_credentials(), pytest.raises(PermissionDeniedError, match="401"):
        KubernetesApi("shop", harness.resolve("cluster"), harness.namespace).get("deployment/web")
    with harness.unreachable(), pytest.raises(ComponentUnavailableError, match=r"127\.0\.0\.1"):
        KubernetesApi("shop", harness.resolve("cluster"), harness.namespace).get("deployment/web")
    nobody = replace(harness.resolve("cluster"), port=free_port())
    with pytest.raises(ComponentUnavailableError, match=r"127\.0\.0\.1"):
        KubernetesApi("shop", nobody, harness.namespace).get("deployment/web")


@pytest.mark.parametrize("extra", [{"in_cluster": True}, {"kube_config_path": "/nowhere"}], ids=["pod", "file"])
def test_a_connection_that_leads_to_no_cluster_is_named(extra: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="'cluster' leads to no cluster"):
        KubernetesApi("shop", Connection(id="cluster", type="kubernetes", extra=extra), "default")
