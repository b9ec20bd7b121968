"""What is kept of listeners, rules and target groups, in one form, and given back to the same calls."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rollback_provider.core.errors import UnsupportedError
from rollback_provider.resources import Fields

_LISTENER = {
    "protocol": "Protocol",
    "ssl_policy": "SslPolicy",
    "certificates": "Certificates",
    "alpn_policy": "AlpnPolicy",
    "actions": "DefaultActions",
}
_RULE = {"conditions": "Conditions", "actions": "Actions"}
_SECURE = {"HTTPS", "TLS"}


def region_of(arn: str) -> str:
    """The region that an ARN names."""
    return arn.split(":")[3]


def group_name(arn: str) -> str:
    """The name in a target group's ARN: ``…:targetgroup/shop/73e2d6bc24d8a067``."""
    return arn.split("/")[1]


def listener_fields(component: str, listener: dict[str, Any]) -> Fields:
    """A listener as it is stored. Raises UnsupportedError for an action that cannot come back."""
    fields = {field: listener[key] for field, key in _LISTENER.items() if listener.get(key)}
    if listener["Protocol"] not in _SECURE:
        fields.pop("ssl_policy", None)  # shown by some, taken by none
    return fields | {"actions": _actions(component, f"listener {listener['Port']}", listener["DefaultActions"])}


def rule_fields(component: str, rule: dict[str, Any]) -> Fields:
    """A rule as it is stored. Raises UnsupportedError for an action or a transform that cannot come back."""
    where = f"rule with priority {rule['Priority']}"
    if rule.get("Transforms"):
        raise UnsupportedError(f"The {where} rewrites requests (transforms)", component=component)
    conditions = [_condition(each) for each in rule["Conditions"]]
    return {
        "conditions": sorted(conditions, key=lambda each: json.dumps(each, sort_keys=True)),
        "actions": _actions(component, where, rule["Actions"]),
    }


def parameters_of(fields: Fields) -> dict[str, Any]:
    """Parameters of the call that makes a listener or a rule what it was."""
    names = _RULE if "conditions" in fields else _LISTENER
    return {names[field]: value for field, value in fields.items()}


def attributes_of(attributes: Iterable[dict[str, str]]) -> Fields:
    """Attributes of a target group, each a field; those of a sort of cookie that is not chosen mean nothing and cannot be unset."""
    fields = {each["Key"]: each["Value"] for each in attributes}
    chosen = f"stickiness.{fields.get('stickiness.type')}."
    return {
        key: value
        for key, value in fields.items()
        if not key.startswith(("stickiness.lb_cookie.", "stickiness.app_cookie.")) or key.startswith(chosen)
    }


def _actions(component: str, where: str, actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = []
    for action in actions:
        if action["Type"] == "authenticate-oidc":
            raise UnsupportedError(
                f"The {where} signs users in by OIDC, whose client secret cannot be read",
                component=component,
                next_step="Take this load balancer back with the tool that made it",
            )
        plain = {key: value for key, value in action.items() if key != "Order" or len(actions) > 1}
        if plain["Type"] == "forward":
            single = [{"TargetGroupArn": plain.pop("TargetGroupArn", None), "Weight": 1}]
            config = plain.get("ForwardConfig") or {"TargetGroups": single}
            plain["ForwardConfig"] = {
                "TargetGroups": [{"Weight": 1, **group} for group in config["TargetGroups"]],
                "TargetGroupStickinessConfig": config.get("TargetGroupStickinessConfig") or {"Enabled": False},
            }
        kept.append(plain)
    return kept


def _condition(condition: dict[str, Any]) -> dict[str, Any]:
    """Both the old form and the new one are shown; only one is taken."""
    if any(key.endswith("Config") for key in condition):
        return {key: value for key, value in condition.items() if key != "Values"}
    return condition
