"""Reads and writes objects of one namespace through the official client, as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from rollback_provider.clients.http import base_url
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import (
    ComponentUnavailableError,
    ConfigurationError,
    PermissionDeniedError,
    StepFailedError,
)
from rollback_provider.resources import MovedError

_TIMEOUT = (3.0, 30.0)
"""Seconds to connect, and to wait for an answer."""


class KubernetesApi:
    """One namespace of a cluster.

    :param component: the component's name, for errors
    :param connection: a host and a token as password (extra ``ssl_ca_cert``), or as extras ``in_cluster``, or ``kube_config_path`` with
        ``cluster_context``
    """

    def __init__(self, component: str, connection: Connection, namespace: str) -> None:
        self._component = component
        self._namespace = namespace
        self._client = self._connect(connection)
        self.server: str = self._client.configuration.host

    def get(self, address: str) -> dict[str, Any] | None:
        """An object as the API has it; None where there is none."""
        try:
            with self._errors(f"get {address}", absent=True):
                found: dict[str, Any] = self._call("read", address)
        except LookupError:
            return None
        return found

    def create(self, address: str, body: dict[str, Any]) -> None:
        """Makes an object. Raises MovedError where there is one already."""
        metadata = {name: body["metadata"][name] for name in ("name", "namespace", "labels", "annotations")}
        with self._errors(f"create {address}"):
            self._call("create", address, named=False, body={**body, "metadata": metadata})

    def replace(self, address: str, body: dict[str, Any]) -> None:
        """Replaces an object. Raises MovedError where its resource version is not that of `body` any more."""
        with self._errors(f"replace {address}", moved=(404, 409)):
            self._call("replace", address, body=body)

    def delete(self, address: str, version: str) -> None:
        """Deletes an object, and in the background what it owns. Raises MovedError where it is of another version."""
        options = {"propagationPolicy": "Background", "preconditions": {"resourceVersion": version}}
        with suppress(LookupError), self._errors(f"delete {address}", absent=True):
            self._call("delete", address, body=options)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _call(self, verb: str, address: str, *, named: bool = True, **arguments: Any) -> Any:
        from kubernetes.client import AppsV1Api, CoreV1Api

        kind, _, name = address.partition("/")
        api, noun = (
            (AppsV1Api(self._client), "deployment") if kind == "deployment" else (CoreV1Api(self._client), "config_map")
        )
        method = getattr(api, f"{verb}_namespaced_{noun}")
        where = {"name": name, "namespace": self._namespace} if named else {"namespace": self._namespace}
        return self._client.sanitize_for_serialization(method(**where, **arguments, _request_timeout=_TIMEOUT))

    @contextmanager
    def _errors(self, what: str, moved: tuple[int, ...] = (409,), *, absent: bool = False) -> Iterator[None]:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ApiException as error:
            if error.status in moved:
                raise MovedError(f"{what}: {error.reason}") from error
            if error.status == 404 and absent:
                raise LookupError(what) from error
            if error.status in {401, 403}:
                raise PermissionDeniedError(
                    f"{what} was answered {error.status} {error.reason}",
                    component=self._component,
                    next_step="Give the account get, create, update and delete on deployments and configmaps",
                ) from None
            if error.status is None or error.status >= 500 or error.status == 429:
                raise ComponentUnavailableError(
                    f"{what} was answered {error.status} {error.reason}", component=self._component
                ) from None
            said = " ".join(str(error.body or "").split())[:300]
            raise StepFailedError(f"{what} was answered {error.status}: {said}", component=self._component) from None
        except HTTPError as error:
            raise ComponentUnavailableError(
                f"{self.server} gives no answer ({type(error).__name__})", component=self._component
            ) from error

    def _connect(self, connection: Connection) -> Any:
        from kubernetes import client

        config: Any = import_module("kubernetes.config")  # has no types

        extra = connection.extra
        configuration = client.Configuration()
        try:
            if extra.get("in_cluster"):
                config.load_incluster_config(client_configuration=configuration)
            elif "kube_config_path" in extra:
                config.load_kube_config(
                    extra["kube_config_path"], extra.get("cluster_context"), client_configuration=configuration
                )
            else:
                configuration.host = base_url(connection)
                configuration.ssl_ca_cert = extra.get("ssl_ca_cert")
                if connection.password:
                    configuration.api_key = {"authorization": f"Bearer {connection.password}"}
        except config.ConfigException as error:
            raise ConfigurationError(
                f"Connection {connection.id!r} leads to no cluster: {error}", component=self._component
            ) from error
        configuration.retries = False
        return client.ApiClient(configuration)


def rollout_left(found: dict[str, Any] | None) -> str:
    """What a Deployment's rollout still waits for; nothing where it is complete, or where there is none."""
    if found is None:
        return ""
    status, wanted = found.get("status") or {}, found["spec"].get("replicas", 1)
    for condition in status.get("conditions") or ():
        if condition.get("reason") == "ProgressDeadlineExceeded":
            return f"failed: {condition.get('message', 'its progress deadline is exceeded')}"
    if status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
        return "not observed yet"
    counts = {name: status.get(name) or 0 for name in ("updatedReplicas", "replicas", "availableReplicas")}
    if all(count == wanted for count in counts.values()):
        return ""
    return f"{counts['updatedReplicas']} of {wanted} updated, {counts['availableReplicas']} available"
