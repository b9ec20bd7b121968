"""Which component kinds there are, and how one is built from its specification."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from rollback_provider.core.component import Component, ConnectionResolver
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.model import ComponentSpec, ComponentState

ENTRY_POINTS = "rollback_provider.components"
"""Entry point group: a package adds a kind with ``kind = "module:Class"``."""

BUILT_IN = {
    "caddy": "rollback_provider.components.traffic.caddy:CaddyComponent",
    "ansible": "rollback_provider.components.configuration.ansible:AnsibleComponent",
    "cloudformation": "rollback_provider.components.infrastructure.cloudformation:CloudformationComponent",
    "dns": "rollback_provider.components.dns.rfc2136:DnsComponent",
    "ecs": "rollback_provider.components.deployments.ecs:EcsComponent",
    "elbv2": "rollback_provider.components.traffic.elbv2:Elbv2Component",
    "etcd": "rollback_provider.components.configuration.etcd:EtcdComponent",
    "files": "rollback_provider.components.configuration.files:FilesComponent",
    "flagd": "rollback_provider.components.flags.flagd:FlagdComponent",
    "haproxy": "rollback_provider.components.traffic.haproxy:HaproxyComponent",
    "kubernetes": "rollback_provider.components.deployments.kubernetes:KubernetesComponent",
    "lambda_alias": "rollback_provider.components.deployments.lambda_alias:LambdaAliasComponent",
    "memory": "rollback_provider.components.memory:MemoryComponent",
    "nginx": "rollback_provider.components.traffic.nginx:NginxComponent",
    "opentofu": "rollback_provider.components.infrastructure.opentofu:OpentofuComponent",
    "postgres": "rollback_provider.components.postgres.component:PostgresComponent",
    "powerdns": "rollback_provider.components.dns.powerdns:PowerdnsComponent",
    "release": "rollback_provider.components.deployments.release:ReleaseComponent",
    "route53": "rollback_provider.components.dns.route53:Route53Component",
    "ssm": "rollback_provider.components.configuration.ssm:SsmComponent",
    "unleash": "rollback_provider.components.flags.unleash:UnleashComponent",
}


def kinds() -> dict[str, str]:
    """All kinds, with the class that implements each as ``module:Class``."""
    return BUILT_IN | _added()


def build(spec: ComponentSpec, connections: ConnectionResolver) -> Component:
    """Builds a component. Does no I/O beyond importing the plug-in.

    Raises ConfigurationError for an unknown kind, a missing extra, or options the kind does not take.
    """
    known = kinds()
    if spec.kind not in known:
        raise ConfigurationError(
            f"Unknown component kind {spec.kind!r}",
            component=spec.name,
            next_step=f"Use one of: {', '.join(sorted(known))}",
        )
    module, _, name = known[spec.kind].partition(":")
    try:
        factory = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"Kind {spec.kind!r} needs the package {error.name!r}",
            component=spec.name,
            next_step=f"pip install 'airflow-provider-rollback[{spec.kind}]'",
        ) from error
    component: Component = factory(spec, connections)
    return component


def require_same_system(component: Component, state: ComponentState) -> None:
    """Raises ConfigurationError where a connection leads elsewhere than it did when `state` was captured."""
    if component.identity() != state.identity:
        raise ConfigurationError(
            "The connection leads to another system than the one the snapshot was taken of",
            component=state.spec.name,
            next_step=f"Point {state.spec.connection!r} at the original system" if state.spec.connection else "",
        )


def parse_specs(entries: Sequence[Any]) -> tuple[ComponentSpec, ...]:
    """Component specifications from plain data: mappings.

    What is no field of :class:`ComponentSpec` becomes an option of the kind.

    Raises ConfigurationError for anything malformed, for a name used twice and for an ``after`` that names nothing.
    """
    if not entries:
        raise ConfigurationError("No components are given", next_step="Name at least one under `components:`")
    specs = tuple(_parse(entry) for entry in entries)
    names = Counter(spec.name for spec in specs)
    if repeated := [name for name, count in names.items() if count > 1]:
        raise ConfigurationError(f"Component names are used twice: {', '.join(repeated)}")
    for spec in specs:
        if missing := set(spec.after) - set(names):
            raise ConfigurationError(
                f"`after` names unknown components: {', '.join(sorted(missing))}", component=spec.name
            )
    return specs


def rollback_order(specs: Iterable[ComponentSpec]) -> tuple[tuple[str, ...], ...]:
    """Component names in waves: the reverse of the order in which the migration changes them.

    Raises ConfigurationError where ``after`` goes round in a circle.
    """
    after = {spec.name: set(spec.after) for spec in specs}
    waves: list[tuple[str, ...]] = []
    while after:
        wave = tuple(name for name, needs in after.items() if not needs & after.keys())
        if not wave:
            raise ConfigurationError(f"`after` goes round in a circle: {', '.join(after)}")
        waves.append(wave)
        after = {name: needs for name, needs in after.items() if name not in wave}
    return tuple(reversed(waves))


@cache  # reading the metadata of all that is installed takes longer than many a step
def _added() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}


def _parse(entry: Any) -> ComponentSpec:
    if isinstance(entry, ComponentSpec):
        return entry
    if not isinstance(entry, dict):
        raise ConfigurationError(f"A component must be a mapping, not {type(entry).__name__}")
    fields = {key: value for key, value in entry.items() if key in ComponentSpec.model_fields}
    options = {key: value for key, value in entry.items() if key not in ComponentSpec.model_fields}
    try:
        return ComponentSpec.model_validate(fields | {"options": fields.get("options", {}) | options})
    except (ValidationError, TypeError) as error:
        problems = (
            "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            if isinstance(error, ValidationError)
            else "options must be a mapping"
        )
        raise ConfigurationError(
            f"A component is malformed: {problems}", component=str(entry.get("name", "?"))
        ) from error
