"""Kind ``elbv2``: listeners, rules and target groups of an Application or Network Load Balancer of AWS."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from shlex import quote
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rollback_provider.clients.aws import command_line
from rollback_provider.components.traffic.elbv2_api import LoadBalancer
from rollback_provider.components.traffic.elbv2_fields import group_name, listener_fields, parameters_of, rule_fields
from rollback_provider.core.component import BlobReader, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.errors import StepFailedError, UnsupportedError
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.verification import Check
from rollback_provider.core.words import plural
from rollback_provider.resources import (
    Batch,
    Change,
    Digests,
    Fields,
    MovedError,
    Options,
    ResourceComponent,
    State,
    make_check,
    parse_options,
    require_connection,
)

_LOOK = 2.0
"""Seconds between two looks at the health of targets."""
_CAME_OR_WENT = {"DuplicateListener", "ListenerNotFound", "PriorityInUse", "RuleNotFound"}


class Elbv2Options(Options):
    """Options of kind ``elbv2``.

    :param load_balancer: ARN of the load balancer whose listeners and rules are captured
    :param target_groups: ARNs of the target groups whose attributes and registered targets are captured
    :param healthy_seconds: how long a rollback waits for targets that it registers to pass their health check before traffic goes there
    """

    load_balancer: str = Field(pattern=r"^arn:aws[a-z-]*:elasticloadbalancing:[^:]+:\d+:loadbalancer/(app|net)/")
    target_groups: tuple[
        Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:elasticloadbalancing:[^:]+:\d+:targetgroup/")], ...
    ] = ()
    healthy_seconds: float = Field(default=120.0, ge=0)


class Elbv2Component(ResourceComponent):
    """Addresses: ``listener 443``, ``rule 443/10`` by priority, ``group shop`` (its attributes), ``target shop/10.0.0.7:80``."""

    kind: ClassVar[str] = "elbv2"
    section: ClassVar[Literal["infrastructure"]] = "infrastructure"
    noun: ClassVar[str] = "listeners, rules and targets"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._options = parse_options(spec, Elbv2Options)
        self._connection = require_connection(spec)
        self._groups = {group_name(arn): arn for arn in self._options.target_groups}

    def identity(self) -> str:
        """Names the load balancer, which names account and region."""
        return f"elbv2:{self._options.load_balancer}"

    def read(self, blobs: BlobWriter) -> State:
        """Lists listeners and rules of the load balancer, attributes and targets of the groups."""
        balancer = self._balancer()
        state: State = {}
        for port, listener in balancer.listeners().items():
            state[f"listener {port}"] = listener_fields(self.spec.name, listener)
            for priority, rule in balancer.rules(listener).items():
                state[f"rule {port}/{priority}"] = rule_fields(self.spec.name, rule)
        for name, arn in self._groups.items():
            attributes = balancer.attributes(arn)
            if attributes is None:
                raise UnsupportedError(
                    f"There is no target group {name}, and a new one would have another ARN",
                    component=self.spec.name,
                    next_step=f"Create the group, name its ARN in place of {arn}, and take a new snapshot",
                )
            state[f"group {name}"] = attributes
            for target, health in balancer.targets(arn):
                if health != "draining":
                    state[f"target {name}/{target['Id']}:{target.get('Port', '')}"] = target
        return state

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Makes each change by one call. A listener or a rule is looked at right before."""
        balancer = self._balancer()
        routed = any(change.address.startswith(("listener ", "rule ")) for change in changes)
        listeners = balancer.listeners() if routed else {}
        for done, change in enumerate(changes, start=1):
            self.stop_if_cancelled()
            sort, _, name = change.address.partition(" ")
            if sort == "listener":
                self._write_listener(balancer, listeners, name, change)
            elif sort == "rule":
                self._write_rule(balancer, listeners, name, change)
            else:
                operation, parameters = self._group_call(change)
                balancer.call(operation, **parameters, accept={"InvalidTarget"} if change.target is None else ())
            progress.update(f"write {self.spec.name}", done=done, total=len(changes), unit="changes")

    def complete(self, changes: Sequence[Change], progress: Progress) -> None:
        """Waits until targets that have come pass their health check, or have had the time for it."""
        balancer = self._balancer()
        deadline = time.monotonic() + self._options.healthy_seconds
        for change in changes:
            if not change.address.startswith("target ") or change.target is None:
                continue
            arn = self._groups[change.address.partition(" ")[2].partition("/")[0]]
            while "initial" in [health for target, health in balancer.targets(arn) if target == change.target]:
                if time.monotonic() > deadline:
                    progress.message(f"{self.spec.name}: {change.address} has not passed its health check yet")
                    break
                progress.update(f"wait for {change.address}", done=0, unit="health checks")
                self.pause(_LOOK)

    def command(self, change: Change) -> str:
        """Commands for the command line of AWS. ARNs that are made anew are asked for."""
        sort, _, name = change.address.partition(" ")
        if sort in {"group", "target"}:
            return command_line("elbv2", *self._group_call(change))
        port, _, priority = name.partition("/")
        balancer = quote(self._options.load_balancer)
        listener = _arn_of(
            "listeners", f"--load-balancer-arn {balancer}", f"Listeners[?Port==\\`{port}\\`].ListenerArn"
        )
        if sort == "listener":
            where, itself = f"--load-balancer-arn {balancer} --port {port}", listener
        else:
            where = f"--listener-arn {listener} --priority {priority}"
            itself = _arn_of("rules", f"--listener-arn {listener}", f"Rules[?Priority=='{priority}'].RuleArn")
        if change.target is None:
            return command_line("elbv2", f"delete_{sort}", {}, f"--{sort}-arn {itself}")
        verb, which = ("create", where) if change.now is None else ("modify", f"--{sort}-arn {itself}")
        return command_line("elbv2", f"{verb}_{sort}", parameters_of(change.target), which)

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """First what traffic needs, then where it goes, then what it does not need any more."""
        groups = [c for c in changes if c.address.startswith(("group ", "target ")) and c.target is not None]
        routes = [c for c in changes if c.address.startswith(("listener ", "rule ")) and c.target is not None]
        gone = sorted((c for c in changes if c.target is None), key=_last_to_go)
        for title, part in (
            (f"Restore {plural(len(groups), 'target or attributes', 'targets and attributes')}", groups),
            (f"Restore {plural(len(routes), 'listener or rule', 'listeners and rules')}", routes),
            (f"Remove {plural(len(gone), 'rule, listener or target', 'rules, listeners and targets')}", gone),
        ):
            if part:
                yield Batch(title, part)

    def checks(self, now: State) -> Iterable[Check]:
        """No target that is registered fails its health check."""
        balancer = self._balancer()
        states = [
            (f"{name}/{target['Id']}", health)
            for name, arn in self._groups.items()
            for target, health in balancer.targets(arn)
        ]
        wrong = [f"{target} is {health}" for target, health in states if health in {"unhealthy", "initial"}]
        if states:
            healthy = len(states) - len(wrong)
            yield make_check(
                self.spec.name, "health", len(states), healthy, wrong, f"{healthy} targets are not unhealthy"
            )

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """What becomes of users of targets that go, and of users who stick to a group. Refuses what others would lose."""
        self._refuse_to_remove_rules_of_others(changes)
        notes = [
            f"{c.address}: takes no new requests; those it has may end within the group's deregistration delay"
            for c in changes
            if c.address.startswith("target ") and c.target is None
        ]
        for change in changes:
            seconds = _sticky_seconds(change.now)
            if seconds:
                notes.append(f"{change.address}: users may stick to their target group for another {seconds} seconds")
            if change.now is None and change.address.startswith("listener "):
                notes.append(
                    f"{change.address}: made anew, with its default certificate; others, attributes and tags are gone"
                )
        return tuple(notes)

    def _refuse_to_remove_rules_of_others(self, changes: Sequence[Change]) -> None:
        gone = {change.address for change in changes if change.target is None}
        heads = tuple(
            f"rule {address.removeprefix('listener ')}/" for address in gone if address.startswith("listener ")
        )
        theirs = [
            each for each in (self.read(Digests()) if heads else ()) if each.startswith(heads) and each not in gone
        ]
        if theirs:
            raise UnsupportedError(
                f"{', '.join(theirs)}: made by others since, on a listener that the migration has made and that is to go",
                component=self.spec.name,
                next_step="Move these rules to another listener or delete them, then generate again",
            )

    def _write_listener(self, balancer: LoadBalancer, listeners: dict[str, Any], port: str, change: Change) -> None:
        found, target = listeners.get(port), change.target
        _require(found, listener_fields(self.spec.name, found) if found else None, change)
        if target is None:
            self._remove_listener(balancer, port, found)
            return
        where = (
            {"ListenerArn": found["ListenerArn"]}
            if found
            else {"LoadBalancerArn": self._options.load_balancer, "Port": int(port)}
        )
        operation = "modify_listener" if found else "create_listener"
        answer = balancer.call(operation, **where, **parameters_of(target), accept=_CAME_OR_WENT)
        _require_done(answer, change)
        listeners[port] = answer["Listeners"][0]

    def _remove_listener(self, balancer: LoadBalancer, port: str, found: dict[str, Any] | None) -> None:
        if found is None:
            return
        if rules := balancer.rules(found):
            raise StepFailedError(
                f"listener {port} has got {plural(len(rules), 'rule')} of others, which would go with it",
                component=self.spec.name,
                next_step="Move them to another listener or delete them, then execute the same rollback again",
            )
        balancer.call("delete_listener", ListenerArn=found["ListenerArn"], accept={"ListenerNotFound"})

    def _write_rule(self, balancer: LoadBalancer, listeners: dict[str, Any], name: str, change: Change) -> None:
        port, _, priority = name.partition("/")
        target = change.target
        if port not in listeners:
            if target is not None:
                raise MovedError(f"listener {port} is gone")
            return
        found = balancer.rules(listeners[port]).get(priority)
        _require(found, rule_fields(self.spec.name, found) if found else None, change)
        if target is None:
            if found:
                balancer.call("delete_rule", RuleArn=found["RuleArn"], accept={"RuleNotFound"})
            return
        where = (
            {"RuleArn": found["RuleArn"]}
            if found
            else {"ListenerArn": listeners[port]["ListenerArn"], "Priority": int(priority)}
        )
        operation = "modify_rule" if found else "create_rule"
        _require_done(balancer.call(operation, **where, **parameters_of(target), accept=_CAME_OR_WENT), change)

    def _group_call(self, change: Change) -> tuple[str, dict[str, Any]]:
        """Operation and parameters that make a change to a target group."""
        sort, _, name = change.address.partition(" ")
        where = {"TargetGroupArn": self._groups[name.partition("/")[0]]}
        if sort == "target":
            operation = "deregister_targets" if change.target is None else "register_targets"
            return operation, where | {"Targets": [change.target or change.now]}
        now, target = change.now or {}, change.target or {}
        changed = [{"Key": key, "Value": value} for key, value in target.items() if now.get(key) != value]
        return "modify_target_group_attributes", where | {"Attributes": changed}

    def _balancer(self) -> LoadBalancer:
        return LoadBalancer(self.spec.name, self.connections(self._connection), self._options.load_balancer)


def _require(found: object, fields: Fields | None, change: Change) -> None:
    """What is to be changed is what it was; what is to go may be gone."""
    if fields != change.now and (found or change.target is not None):
        raise MovedError(f"{change.address} has been changed")


def _require_done(answer: dict[str, Any], change: Change) -> None:
    if "Error" in answer:
        raise MovedError(f"{change.address} has come or gone meanwhile")


def _last_to_go(change: Change) -> tuple[int, str]:
    """Rules before their listener, and targets when no traffic is sent to them any more."""
    return ("rule", "listener", "target", "group").index(change.address.partition(" ")[0]), change.address


def _sticky_seconds(fields: Fields | None) -> int:
    """How long users stick to a target group that a rule has chosen for them."""
    configs = [action.get("ForwardConfig", {}) for action in (fields or {}).get("actions", ())]
    found = [config["TargetGroupStickinessConfig"] for config in configs if "TargetGroupStickinessConfig" in config]
    return max((each.get("DurationSeconds", 0) for each in found if each.get("Enabled")), default=0)


def _arn_of(what: str, where: str, query: str) -> str:
    return f'"$(aws elbv2 describe-{what} {where} --query "{query}" --output text)"'
