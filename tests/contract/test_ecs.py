"""Services of ECS, as moto emulates them, keep the contract."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import count
from typing import Any

import pytest

from rollback_provider.core.model import ComponentSpec
from tests.contract.aws import AwsHarness
from tests.contract.harness import Harness
from tests.contract.resource_suite import ResourceSuite
from tests.fix_store import S3

_numbers = count(1)


@cache
def revisions(s3: S3) -> dict[int, str]:
    """A cluster, and ARNs of the revisions 1 to 3 of a task definition."""
    ecs = s3.client("ecs")
    ecs.create_cluster(clusterName="shops")
    return {number: register(s3, "shop", number) for number in (1, 2, 3)}


def register(s3: S3, family: str, number: int) -> str:
    """Registers a revision; gives its ARN."""
    container = {"name": "app", "image": f"shop:{number}", "memory": 128}
    made = s3.client("ecs").register_task_definition(family=family, containerDefinitions=[container])
    return str(made["taskDefinition"]["taskDefinitionArn"])


class EcsHarness(AwsHarness):
    """Services of their own in one cluster."""

    def __init__(self, s3: S3) -> None:
        super().__init__(s3)
        self.ecs, self.revisions = s3.client("ecs"), revisions(s3)
        number = next(_numbers)
        self.names = {name: f"{name}-{number}" for name in ("web", "worker", "admin")}
        self.part = self.names["web"]
        options = {"cluster": "shops", "services": [*self.names.values()], "stable_seconds": 5.0}
        self.spec = ComponentSpec(kind="ecs", name="shop", connection="cloud", options=options)
        for name, tasks in (("web", 3), ("worker", 1), ("admin", 1)):
            self.make(self.names[name])
            self.deploy(name, 1, tasks)

    def make(self, name: str, **more: Any) -> None:
        """Makes a service without tasks: moto counts tasks as running once their number is changed."""
        given: dict[str, Any] = {"desiredCount": 0, "taskDefinition": self.revisions[1]}
        self.ecs.create_service(cluster="shops", serviceName=name, **given | more)

    def deploy(self, name: str, revision: int, tasks: int) -> None:
        """Updates a service."""
        self.ecs.update_service(
            cluster="shops",
            service=self.names[name],
            taskDefinition=self.revisions[revision],
            desiredCount=tasks,
        )

    def migrate(self) -> None:
        """Two services get new tasks, one of them more."""
        self.deploy("web", 2, 5)
        self.deploy("worker", 2, 1)

    def migrate_again(self) -> None:
        """One goes further."""
        self.deploy("web", 3, 5)

    def application_write(self) -> None:
        """Another service is deployed and scaled."""
        self.deploy("admin", 2, 2)

    def drift(self) -> None:
        """Somebody deploys what the migration has deployed."""
        self.deploy("web", 3, 5)

    def drifted(self) -> bool:
        """It is there."""
        return bool(self.state()["web"][0] == self.revisions[3])

    def state(self) -> dict[str, Any]:
        """What all services run."""
        found = self.ecs.describe_services(cluster="shops", services=[*self.names.values()])["services"]
        return {
            each["serviceName"].partition("-")[0]: (each["taskDefinition"], each["desiredCount"], each["runningCount"])
            for each in found
        }


class TestEcsEmulated(ResourceSuite):
    """The contract, kept by kind ``ecs``."""

    stride = 13

    @pytest.fixture
    def make_harness(self, s3: S3) -> Callable[[], Harness]:
        """Makes services."""
        return lambda: EcsHarness(s3)
