"""Deployments and ConfigMaps of an emulated API server keep the contract: no real one can run where these tests must."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rollback_provider.core.component import Connection
from rollback_provider.core.model import ComponentSpec
from tests.contract.harness import Harness
from tests.contract.resource_suite import ResourceSuite
from tests.parts.api_server import ApiServer


class KubernetesHarness:
    """A shop of two Deployments and their settings."""

    part = "deployment/web"

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        self.secrets = (server.token,)
        self.spec = ComponentSpec(
            kind="kubernetes",
            name="shop",
            connection="cluster",
            options={
                "namespace": namespace,
                "deployments": ["web", "worker", "admin"],
                "config_maps": ["settings", "engine"],
                "rollout_seconds": 5.0,
            },
        )
        self._token = server.token
        self.deploy("web", "shop:1", replicas=3)
        self.deploy("worker", "shop:1", env=[{"name": "MODE", "value": "old"}])
        self.deploy("admin", "admin:1")
        self.configure("settings", {"rate": "100", "plan": "free"})

    def path(self, address: str) -> str:
        """Where the API has an object."""
        kind, _, name = address.partition("/")
        group = "apis/apps/v1" if kind == "deployment" else "api/v1"
        return f"/{group}/namespaces/{self.namespace}/{kind}s/{name}"

    def deploy(self, name: str, image: str, *, replicas: int = 1, env: list[dict[str, str]] | None = None) -> None:
        """Applies a Deployment."""
        container: dict[str, Any] = {"name": "app", "image": image, **({"env": env} if env else {})}
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
        metadata = {"name": name, "namespace": self.namespace}
        self.server.put(
            self.path(f"deployment/{name}"),
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        )

    def configure(self, name: str, data: dict[str, str]) -> None:
        """Applies a ConfigMap."""
        metadata = {"name": name, "namespace": self.namespace}
        self.server.put(
            self.path(f"configmap/{name}"),
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data},
        )

    def container(self, name: str) -> dict[str, Any]:
        """The stored container of a Deployment."""
        stored = self.server.objects[self.path(f"deployment/{name}")]
        container: dict[str, Any] = stored["spec"]["template"]["spec"]["containers"][0]
        return container

    def resolve(self, connection_id: str) -> Connection:
        """The server and a token."""
        return Connection(
            id=connection_id, type="kubernetes", host="127.0.0.1", port=self.server.port, password=self._token
        )

    def migrate(self) -> None:
        """Images, environment and settings change; a ConfigMap comes."""
        self.deploy("web", "shop:2", replicas=3)
        self.deploy("worker", "shop:2", env=[{"name": "MODE", "value": "new"}])
        self.configure("settings", {"rate": "500", "plan": "free", "engine": "on"})
        self.configure("engine", {"threads": "8"})

    def migrate_again(self) -> None:
        """Further still."""
        self.deploy("web", "shop:3", replicas=3)
        self.configure("engine", {"threads": "16"})

    def application_write(self) -> None:
        """Another Deployment is scaled and gets another image."""
        self.deploy("admin", "admin:2", replicas=2)

    def drift(self) -> None:
        """Somebody deploys what the migration has deployed."""
        self.deploy("web", "shop:hotfix", replicas=3)

    def drifted(self) -> bool:
        """It is there."""
        return bool(self.container("web")["image"] == "shop:hotfix")

    def state(self) -> object:
        """Specifications and data of all objects."""
        return {
            path.rpartition("/")[2]: (_bare(stored.get("spec")), stored.get("data"))
            for path, stored in sorted(self.server.objects.items())
            if f"/{self.namespace}/" in path
        }

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """The server hangs up."""
        self.server.down = True
        yield
        self.server.down = False

    @contextmanager
    def wrong_credentials(self) -> Iterator[None]:
        """Another token."""
        self._token = "wrong"  # noqa: S105  it is
        yield
        self._token = self.server.token


def _bare(value: Any) -> Any:
    """Without what is empty, which the API does not tell from what is not there."""
    if isinstance(value, dict):
        return {key: bare for key, each in value.items() if (bare := _bare(each)) not in (None, [], {})}
    return [_bare(each) for each in value] if isinstance(value, list) else value


class TestKubernetesEmulated(ResourceSuite):
    """The contract, kept by kind ``kubernetes`` against an emulated API server."""

    stride = 3

    @pytest.fixture
    def make_harness(self, api_server: ApiServer, next_namespace: Callable[[], str]) -> Callable[[], Harness]:
        """Makes namespaces."""
        return lambda: KubernetesHarness(api_server, next_namespace())
