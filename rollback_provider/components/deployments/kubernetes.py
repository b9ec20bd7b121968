"""Kind ``kubernetes``: Deployments and ConfigMaps, through the API server."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from copy import deepcopy
from shlex import quote
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rollback_provider.components.deployments.kubernetes_api import KubernetesApi, rollout_left
from rollback_provider.core.component import BlobReader, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.errors import StepFailedError
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

_LOOKS = (0.02, 1.0)
"""Seconds between the first two looks at a rollout, and at most between later ones: each waits twice as long as the one before."""
_IMAGE = "image of "
_ENV = "env of "
_DATA = "data "
_BINARY = "binaryData "
_VOLATILE = ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration")
"""Annotations that are written by others with each change."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]


class KubernetesOptions(Options):
    """Options of kind ``kubernetes``.

    :param namespace: of all that is named here
    :param deployments: names of Deployments
    :param config_maps: names of ConfigMaps
    :param rollout_seconds: how long a rollback waits for the pods of its Deployments
    """

    namespace: Name = "default"
    deployments: tuple[Name, ...] = ()
    config_maps: tuple[Name, ...] = ()
    rollout_seconds: float = Field(default=600.0, gt=0)


class KubernetesComponent(ResourceComponent):
    """Deployments and ConfigMaps.

    Fields are what different people change: replicas, the image and the environment of each container, the rest of the pods' template,
    each key of a ConfigMap. Addresses: ``deployment/shop``, ``configmap/settings``.
    """

    kind: ClassVar[str] = "kubernetes"
    section: ClassVar[Literal["application"]] = "application"
    noun: ClassVar[str] = "objects"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._options = parse_options(spec, KubernetesOptions)
        self._connection = require_connection(spec)
        self._client: KubernetesApi | None = None

    def identity(self) -> str:
        """Names the API server and the objects."""
        names = [*self._options.deployments, *self._options.config_maps]
        return f"kubernetes:{self._api().server}:{self._options.namespace}:{','.join(sorted(names))}"

    def read(self, blobs: BlobWriter) -> State:
        """Asks for each object by name."""
        state: State = {}
        for address in self._addresses():
            self.stop_if_cancelled()
            if (found := self._api().get(address)) is not None:
                state[address] = _fields(address, found)
        return state

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Replaces each object, if its resource version is still the one that was read."""
        api = self._api()
        for done, change in enumerate(changes, start=1):
            self.stop_if_cancelled()
            found = api.get(change.address)
            if (found and _fields(change.address, found)) != change.now:
                raise MovedError(f"{change.address} has been changed")
            if change.target is None:
                if found is not None:
                    api.delete(change.address, found["metadata"]["resourceVersion"])
            elif found is None:
                api.create(change.address, _object(change.address, self._options.namespace, {}, change.target))
            else:
                api.replace(change.address, _object(change.address, self._options.namespace, found, change.target))
            progress.update(f"write {self.spec.name}", done=done, total=len(changes), unit=self.noun)

    def complete(self, changes: Sequence[Change], progress: Progress) -> None:
        """Waits until the pods of each Deployment are those of its template, and available."""
        deadline = time.monotonic() + self._options.rollout_seconds
        for change in changes:
            if change.address.startswith("deployment/"):
                self._await_rollout(change.address, deadline, progress)

    def command(self, change: Change) -> str:
        """For kubectl, with the object as it is to be in the exported plan."""
        kind, _, name = change.address.partition("/")
        where = f"--namespace={quote(self._options.namespace)}"
        if change.target is None:
            return f"kubectl delete {kind} {name} {where}"
        lines = [f"kubectl edit {kind} {name} {where}  # to what the plan's JSON says"]
        before = change.now or {}
        if kind == "deployment" and change.now is not None:
            changed = {field: value for field, value in change.target.items() if before.get(field) != value}
            lines = []
            for field, value in changed.items():
                if field == "replicas":
                    lines.append(f"kubectl scale deployment {name} --replicas={value} {where}")
                elif field.startswith(_IMAGE):
                    image = quote(f"{field.removeprefix(_IMAGE)}={value}")
                    lines.append(f"kubectl set image deployment {name} {image} {where}")
                else:
                    lines.append(f"kubectl edit deployment {name} {where}  # {field}, to what the plan's JSON says")
        if kind == "deployment":
            lines.append(f"kubectl rollout status deployment {name} {where}")
        return "\n".join(lines)

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """ConfigMaps before the Deployments that read them; what was made by the migration goes last."""
        maps = [change for change in changes if change.address.startswith("configmap/") and change.target is not None]
        deployments = [change for change in changes if change.address.startswith("deployment/")]
        gone = [change for change in changes if change not in maps and change not in deployments]
        for title, part in (
            (f"Restore {plural(len(maps), 'ConfigMap')}", maps),
            (f"Restore {plural(len(deployments), 'Deployment')} and await rollouts", deployments),
            (f"Remove {plural(len(gone), 'ConfigMap')}", gone),
        ):
            if part:
                yield Batch(title, part)

    def checks(self, now: State) -> Iterable[Check]:
        """The rollout of each Deployment is complete."""
        addresses = [address for address in now if address.startswith("deployment/")]
        left = {address: rollout_left(self._api().get(address)) for address in addresses}
        wrong = [f"{address}: {what}" for address, what in left.items() if what]
        yield make_check(
            self.spec.name, "rollouts", len(left), len(left) - len(wrong), wrong, f"{len(left)} rollouts complete"
        )

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """What restarts, and what does not."""
        notes = []
        for change in changes:
            kind = change.address.partition("/")[0]
            if kind == "configmap":
                notes.append(
                    f"{change.address}: pods that read it into their environment keep the old values until they restart"
                )
            elif change.target is None:
                notes.append(f"{change.address}: it was made by the migration and is deleted with its pods")
            elif change.now is None or any(
                change.now.get(f) != change.target.get(f) for f in {**change.now, **change.target} if f != "replicas"
            ):
                notes.append(f"{change.address}: its pods are replaced, as its strategy says")
            if change.now and change.target and change.now.get("replicas") != change.target.get("replicas"):
                notes.append(f"{change.address}: an autoscaler, if there is one, sets replicas again")
        return tuple(notes)

    def close(self) -> None:
        """Closes the client, too."""
        super().close()
        if self._client is not None:
            self._client.close()
            self._client = None

    def _await_rollout(self, address: str, deadline: float, progress: Progress) -> None:
        wait, longest = _LOOKS
        while left := rollout_left(self._api().get(address)):
            if time.monotonic() > deadline or left.startswith("failed"):
                raise StepFailedError(
                    f"{address}: the rollout is not complete: {left}",
                    component=self.spec.name,
                    state="The object is restored; its pods are not all those of its template, or not available",
                    next_step="See its pods and events; execute the same rollback again to go on waiting",
                )
            progress.update(f"roll out {address}: {left}", done=0, unit="rollouts")
            self.pause(wait)
            wait = min(2 * wait, longest)

    def _addresses(self) -> list[str]:
        deployments = [f"deployment/{name}" for name in self._options.deployments]
        return [*deployments, *(f"configmap/{name}" for name in self._options.config_maps)]

    def _api(self) -> KubernetesApi:
        if self._client is None:
            connection = self.connections(self._connection)
            self._client = KubernetesApi(self.spec.name, connection, self._options.namespace)
        return self._client


def _fields(address: str, found: dict[str, Any]) -> Fields:
    """What a person, and nobody else, has set of an object."""
    metadata = found["metadata"]
    annotations = {name: value for name, value in metadata.get("annotations", {}).items() if name not in _VOLATILE}
    fields: Fields = {"labels": metadata.get("labels", {}), "annotations": annotations}
    if address.startswith("configmap/"):
        for prefix, part in ((_DATA, "data"), (_BINARY, "binaryData")):
            fields |= {f"{prefix}{key}": value for key, value in (found.get(part) or {}).items()}
        return fields
    spec = deepcopy(found["spec"])
    template = spec.pop("template")
    fields["replicas"] = spec.pop("replicas", 1)
    for container in template["spec"]["containers"]:
        fields[f"{_IMAGE}{container['name']}"] = container.pop("image", "")
        fields[f"{_ENV}{container['name']}"] = container.pop("env", [])
    return {**fields, "template": template, "rest": spec}


def _object(address: str, namespace: str, found: dict[str, Any], target: Fields) -> dict[str, Any]:
    """An object with these fields; what is not the component's comes from what was found."""
    metadata = deepcopy(found.get("metadata", {}))
    kept = {name: value for name, value in metadata.get("annotations", {}).items() if name in _VOLATILE}
    kind, _, name = address.partition("/")
    metadata |= {
        "name": name,
        "namespace": namespace,
        "labels": target["labels"],
        "annotations": {**target["annotations"], **kept},
    }
    if kind == "configmap":
        parts = {
            part: {f.removeprefix(prefix): value for f, value in target.items() if f.startswith(prefix)}
            for prefix, part in ((_DATA, "data"), (_BINARY, "binaryData"))
        }
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **parts}
    template = deepcopy(target["template"])
    for container in template["spec"]["containers"]:
        container["image"] = target.get(f"{_IMAGE}{container['name']}", "")
        container["env"] = target.get(f"{_ENV}{container['name']}", [])
    spec = {**target["rest"], "replicas": target["replicas"], "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
