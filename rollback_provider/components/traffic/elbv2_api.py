"""What kind ``elbv2`` asks of a load balancer and its target groups."""

from __future__ import annotations

from typing import Any

from rollback_provider.clients.aws import Aws
from rollback_provider.components.traffic.elbv2_fields import attributes_of, region_of
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.resources import Fields


class LoadBalancer:
    """One load balancer. Raises what :class:`rollback_provider.clients.aws.Aws` raises."""

    def __init__(self, component: str, connection: Connection, arn: str) -> None:
        self._component = component
        self._arn = arn
        self._aws = Aws(component, connection, "elbv2", region=region_of(arn))
        self.call = self._aws.call

    def listeners(self) -> dict[str, dict[str, Any]]:
        """All listeners, by port. Raises ConfigurationError where there is no such load balancer."""
        found = self.call("describe_listeners", LoadBalancerArn=self._arn, accept={"LoadBalancerNotFound"})
        if "Error" in found:
            raise ConfigurationError(
                f"There is no load balancer {self._arn}",
                component=self._component,
                next_step="Correct the option `load_balancer`",
            )
        listeners = found["Listeners"]
        if "NextMarker" in found:
            listeners = self._aws.items("describe_listeners", "Listeners", LoadBalancerArn=self._arn)
        return {str(each["Port"]): each for each in listeners}

    def rules(self, listener: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Rules of a listener by priority, but for the default one, whose actions are the listener's."""
        if not listener["Protocol"].startswith("HTTP"):
            return {}
        found = self._aws.items("describe_rules", "Rules", ListenerArn=listener["ListenerArn"])
        return {rule["Priority"]: rule for rule in found if not rule["IsDefault"]}

    def attributes(self, group: str) -> Fields | None:
        """Attributes of a target group; None where there is no such group."""
        found = self.call("describe_target_group_attributes", TargetGroupArn=group, accept={"TargetGroupNotFound"})
        return None if "Error" in found else attributes_of(found["Attributes"])

    def targets(self, group: str) -> list[tuple[Fields, str]]:
        """Targets of a group, and their health."""
        found = self.call("describe_target_health", TargetGroupArn=group)["TargetHealthDescriptions"]
        return [(each["Target"], each["TargetHealth"]["State"]) for each in found]
