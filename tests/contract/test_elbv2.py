"""Load balancers of AWS, as moto emulates them, keep the contract."""

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
def network(s3: S3) -> tuple[str, list[str]]:
    """What load balancers stand in: a VPC and subnets of it."""
    ec2 = s3.client("ec2")
    subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]]
    return ec2.describe_vpcs()["Vpcs"][0]["VpcId"], subnets[:2]


class Elbv2Harness(AwsHarness):
    """A load balancer, with what serves now and what will."""

    part = "rule 80/10"

    def __init__(self, s3: S3) -> None:
        super().__init__(s3)
        self.elb = s3.client("elbv2")
        number = next(_numbers)
        vpc, subnets = network(s3)
        made = self.elb.create_load_balancer(Name=f"shop-{number}", Subnets=subnets)
        self.balancer = made["LoadBalancers"][0]["LoadBalancerArn"]
        self.blue, self.green = (
            self.elb.create_target_group(Name=f"{name}-{number}", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")[
                "TargetGroups"
            ][0]["TargetGroupArn"]
            for name in ("blue", "green")
        )
        self.targets("register", 1, 2)
        self._attributes({"deregistration_delay.timeout_seconds": "60", "stickiness.lb_cookie.duration_seconds": "300"})
        self.listen(80, self.forward(100, 0))
        self.rule("80/10", "/cart*", self.forward(100, 0))
        self.rule("80/20", "/old", self.forward(100, 0))
        options = {"load_balancer": self.balancer, "target_groups": [self.blue]}
        self.spec = ComponentSpec(kind="elbv2", name="edge", connection="cloud", options=options)

    def migrate(self) -> None:
        """Weights move to green, sticky; attributes change; a listener, rules and a target come; a rule and a target go."""
        sticky = self.forward(10, 90, sticky=True)
        self.listen(80, sticky)
        self.listen(81, self.forward(0, 100))
        self.rule("80/10", "/cart*", sticky)
        self.rule("80/30", "/new", sticky)
        self.rule("81/10", "/new", sticky)
        self.remove("80/20")
        self.targets("deregister", 1)
        self.targets("register", 3)
        self._attributes({"stickiness.enabled": "true", "stickiness.lb_cookie.duration_seconds": "900"})

    def migrate_again(self) -> None:
        """More of it."""
        self.rule("80/10", "/cart*", self.forward(0, 100))
        self._attributes({"deregistration_delay.timeout_seconds": "5"})
        self.targets("register", 4)

    def application_write(self) -> None:
        """A scaling group adds a target, somebody a rule."""
        self.targets("register", 9)
        self.rule("80/90", "/health", self.forward(100, 0))

    def drift(self) -> None:
        """Somebody else shifts weights that the migration has shifted."""
        self.rule("80/10", "/cart*", self.forward(50, 50))

    def drifted(self) -> bool:
        """They are there."""
        return "'Weight': 50" in str(self.rules()["80/10"])

    def state(self) -> object:
        """All of it, without names that are made anew."""
        attributes = self.elb.describe_target_group_attributes(TargetGroupArn=self.blue)["Attributes"]
        health = self.elb.describe_target_health(TargetGroupArn=self.blue)["TargetHealthDescriptions"]
        state: dict[str, Any] = {
            "listeners": [(port, each["DefaultActions"]) for port, each in sorted(self.listeners().items())],
            "rules": [(key, rule["Conditions"], rule["Actions"]) for key, rule in sorted(self.rules().items())],
            "attributes": sorted((each["Key"], each["Value"]) for each in attributes),
            "targets": sorted(each["Target"]["Id"] for each in health),
        }
        return str(state).replace(self.blue, "blue").replace(self.green, "green")  # which differ between harnesses

    def listeners(self) -> dict[int, Any]:
        """All listeners, by port."""
        found = self.elb.describe_listeners(LoadBalancerArn=self.balancer)["Listeners"]
        return {each["Port"]: each for each in found}

    def rules(self) -> dict[str, Any]:
        """All rules but the default ones, by port and priority."""
        return {
            f"{port}/{rule['Priority']}": rule
            for port, listener in self.listeners().items()
            for rule in self.elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
            if not rule["IsDefault"]
        }

    def listen(self, port: int, action: dict[str, Any]) -> None:
        """Makes a listener, or changes where it sends traffic."""
        if listener := self.listeners().get(port):
            self.elb.modify_listener(ListenerArn=listener["ListenerArn"], DefaultActions=[action])
        else:
            self.elb.create_listener(LoadBalancerArn=self.balancer, Protocol="HTTP", Port=port, DefaultActions=[action])

    def rule(self, name: str, path: str, action: dict[str, Any]) -> None:
        """Makes a rule, or changes it."""
        port, _, priority = name.partition("/")
        listener = self.listeners()[int(port)]["ListenerArn"]
        content: dict[str, Any] = {
            "Conditions": [{"Field": "path-pattern", "PathPatternConfig": {"Values": [path]}}],
            "Actions": [action],
        }
        for rule in self.elb.describe_rules(ListenerArn=listener)["Rules"]:
            if rule["Priority"] == priority:
                self.elb.modify_rule(RuleArn=rule["RuleArn"], **content)
                return
        self.elb.create_rule(ListenerArn=listener, Priority=int(priority), **content)

    def remove(self, name: str) -> None:
        """Removes a rule, if it is there."""
        if rule := self.rules().get(name):
            self.elb.delete_rule(RuleArn=rule["RuleArn"])

    def targets(self, verb: str, *hosts: int) -> None:
        """Registers or deregisters targets of blue."""
        targets = [{"Id": f"10.0.0.{host}", "Port": 80} for host in hosts]
        getattr(self.elb, f"{verb}_targets")(TargetGroupArn=self.blue, Targets=targets)

    def forward(self, blue: int, green: int, *, sticky: bool = False) -> dict[str, Any]:
        """An action, by weights."""
        groups = [{"TargetGroupArn": self.blue, "Weight": blue}, {"TargetGroupArn": self.green, "Weight": green}]
        stickiness = {"Enabled": True, "DurationSeconds": 600} if sticky else {"Enabled": False}
        config = {"TargetGroups": groups, "TargetGroupStickinessConfig": stickiness}
        return {"Type": "forward", "ForwardConfig": config}

    def _attributes(self, attributes: dict[str, str]) -> None:
        each = [{"Key": key, "Value": value} for key, value in attributes.items()]
        self.elb.modify_target_group_attributes(TargetGroupArn=self.blue, Attributes=each)


class TestElbv2Emulated(ResourceSuite):
    """The contract, kept by kind ``elbv2``. A try takes a hundred calls."""

    stride = 37

    @pytest.fixture
    def make_harness(self, s3: S3) -> Callable[[], Harness]:
        """Makes load balancers."""
        return lambda: Elbv2Harness(s3)
