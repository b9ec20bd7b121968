"""Kind ``ecs``: task definitions and desired counts of services of Amazon ECS."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from shlex import quote
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rollback_provider.clients.aws import Aws, command_line
from rollback_provider.core.component import BlobReader, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.errors import ConfigurationError, StepFailedError, UnsupportedError
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.verification import Check
from rollback_provider.core.words import plural
from rollback_provider.resources import (
    Batch,
    Change,
    Fields,
    MovedError,
    Options,
    ResourceComponent,
    State,
    make_check,
    parse_options,
    require_connection,
)

_LOOK = 5.0
"""Seconds between two looks at services that are being deployed."""
_AT_ONCE = 10
"""Services that one call describes."""
_PARAMETERS = {"task_definition": "taskDefinition", "desired_count": "desiredCount"}

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")]


class EcsOptions(Options):
    """Options of kind ``ecs``.

    :param cluster: name of the cluster
    :param services: names of the services
    :param stable_seconds: how long a rollback waits until the services run the tasks that they should, and no others
    """

    cluster: Name = "default"
    services: tuple[Name, ...] = Field(min_length=1)
    stable_seconds: float = Field(default=600.0, ge=0)


class EcsComponent(ResourceComponent):
    """Services that ECS itself deploys. An address is a service's name."""

    kind: ClassVar[str] = "ecs"
    section: ClassVar[Literal["application"]] = "application"
    noun: ClassVar[str] = "services"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._options = parse_options(spec, EcsOptions)
        self._connection = require_connection(spec)

    def identity(self) -> str:
        """Names account, region, cluster and services."""
        return f"ecs:{self._aws().place()}:{self._options.cluster}:{','.join(sorted(self._options.services))}"

    def read(self, blobs: BlobWriter) -> State:
        """Describes the services."""
        return {service["serviceName"]: self._fields(service) for service in self._services(self._options.services)}

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Makes each change by one call. ECS knows no compare-and-swap, so each service is looked at right before."""
        aws = self._aws()
        for done, change in enumerate(changes, start=1):
            self.stop_if_cancelled()
            (service,) = self._services([change.address])
            if self._fields(service) != change.now:
                raise MovedError(f"{change.address} has been changed")
            aws.call("update_service", **self._update(change))
            progress.update(f"write {self.spec.name}", done=done, total=len(changes), unit=self.noun)

    def complete(self, changes: Sequence[Change], progress: Progress) -> None:
        """Waits for all services at once. Raises StepFailedError where one is not stable in time, or its deployment has failed."""
        names = [change.address for change in changes]
        deadline = time.monotonic() + self._options.stable_seconds
        while unstable := self._unstable(names, given_up=True):
            if time.monotonic() > deadline:
                raise StepFailedError(
                    f"Not stable after {self._options.stable_seconds:g} seconds: {'; '.join(unstable)}",
                    component=self.spec.name,
                    state="The services are set back, and ECS goes on deploying them",
                    next_step="Look at their events; executing the same rollback again goes on waiting",
                )
            done = len(names) - len(unstable)
            progress.update(f"wait for {self.spec.name}", done=done, total=len(names), unit="stable services")
            self.pause(_LOOK)

    def command(self, change: Change) -> str:
        """A command for the command line of AWS."""
        return command_line("ecs", "update_service", self._update(change))

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """One step for all, so that they are deployed side by side."""
        if changes:
            names = " ".join(quote(change.address) for change in changes)
            wait = f"aws ecs wait services-stable --cluster {self._options.cluster} --services {names}"
            script = "\n".join([*(self.command(change) for change in changes), wait])
            title = self.title(changes[0]) if len(changes) == 1 else f"Restore {plural(len(changes), 'service')}"
            yield Batch(title, changes, script=script)

    def checks(self, now: State) -> Iterable[Check]:
        """Every service runs the tasks that it should, and no others."""
        unstable = self._unstable(self._options.services)
        yield make_check(
            self.spec.name, "stable", len(now), len(now) - len(unstable), unstable, f"{len(now)} services are stable"
        )

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """That tasks are replaced. Refuses task definitions that services cannot be given any more."""
        aws, notes = self._aws(), []
        for change in changes:
            now, target = change.now or {}, change.target or {}
            if target.get("task_definition") == now.get("task_definition"):
                continue
            arn = target["task_definition"]
            found = aws.call("describe_task_definition", taskDefinition=arn, accept={"ClientException"})
            if "Error" in found or found["taskDefinition"]["status"] != "ACTIVE":
                raise UnsupportedError(
                    f"{change.address} ran {arn.rpartition('/')[2]}, which was deregistered",
                    component=self.spec.name,
                    next_step="Register its content again and deploy that; deregister task definitions only when nobody wants to go back",
                )
            notes.append(f"{change.address}: its tasks are replaced by those of {arn.rpartition('/')[2]}")
        return tuple(notes)

    def _services(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        aws = self._aws()
        for first in range(0, len(names), _AT_ONCE):
            part = list(names[first : first + _AT_ONCE])
            answer = aws.call(
                "describe_services", cluster=self._options.cluster, services=part, accept={"ClusterNotFoundException"}
            )
            there = [service for service in answer.get("services", ()) if service["status"] == "ACTIVE"]
            if missing := sorted(set(part) - {service["serviceName"] for service in there}):
                raise ConfigurationError(
                    f"Cluster {self._options.cluster} has no service {', '.join(missing)}",
                    component=self.spec.name,
                    next_step="Correct `cluster` and `services`; a service that was deleted has to be made by what made it",
                )
            yield from there

    def _fields(self, service: dict[str, Any]) -> Fields:
        controller = service.get("deploymentController", {}).get("type", "ECS")
        if controller != "ECS":
            raise UnsupportedError(
                f"Service {service['serviceName']} is deployed by {controller}, not by ECS",
                component=self.spec.name,
                next_step="Take it back with what deploys it, and leave it out of `services`",
            )
        fields: Fields = {"task_definition": service["taskDefinition"]}
        if service.get("schedulingStrategy") != "DAEMON":
            fields["desired_count"] = service["desiredCount"]
        return fields

    def _unstable(self, names: Sequence[str], *, given_up: bool = False) -> list[str]:
        """What each service lacks that is not stable, as ECS's own waiter counts it.

        :param given_up: raise StepFailedError where ECS has given up a deployment
        """
        found = []
        for service in self._services(names):
            name, running, desired = service["serviceName"], service["runningCount"], service["desiredCount"]
            primary: dict[str, Any] = next((each for each in service["deployments"] if each["status"] == "PRIMARY"), {})
            if given_up and primary.get("rolloutState") == "FAILED":
                raise StepFailedError(
                    f"ECS has given up the deployment of {name}: {primary.get('rolloutStateReason', 'no reason given')}",
                    component=self.spec.name,
                    next_step="Look at the service's events and stopped tasks, then execute the same rollback again",
                )
            if running != desired or len(service["deployments"]) > 1:
                found.append(
                    f"{name} runs {running} of {desired} tasks, by {plural(len(service['deployments']), 'deployment')}"
                )
        return found

    def _update(self, change: Change) -> dict[str, Any]:
        now, target = change.now or {}, change.target or {}
        changed = {key: target[field] for field, key in _PARAMETERS.items() if target.get(field) != now.get(field)}
        return {"cluster": self._options.cluster, "service": change.address, **changed}

    def _aws(self) -> Aws:
        return Aws(self.spec.name, self.connections(self._connection), "ecs")
