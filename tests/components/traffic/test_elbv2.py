"""Load balancers of AWS: what is refused, what a person is told, and what moto does not show by itself."""

from __future__ import annotations

import json
import shlex
from typing import Any

import httpx
import pytest

from rollback_provider.components.traffic.elbv2 import Elbv2Component
from rollback_provider.components.traffic.elbv2_fields import (
    attributes_of,
    group_name,
    listener_fields,
    parameters_of,
    rule_fields,
)
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ComponentError, ConfigurationError, StepFailedError, UnsupportedError
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.repository import Store
from rollback_provider.resources import Change, Digests, MovedError
from tests.contract.suite import Scenario
from tests.contract.test_elbv2 import Elbv2Harness
from tests.fix_progress import RecordedProgress
from tests.fix_store import S3
from tests.parts.gate import Gate, Trouble

HEAD = "arn:aws:elasticloadbalancing:us-east-1:123456789012"
BALANCER = f"{HEAD}:loadbalancer/app/shop/50dc6c495c0c9188"
BLUE = f"{HEAD}:targetgroup/blue/73e2d6bc24d8a067"
FORWARD = {"Type": "forward", "TargetGroupArn": BLUE, "Order": 1}
OIDC = {"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": {"ClientId": "shop"}}


def unconnected(_: str) -> Connection:
    """Nobody is asked."""
    raise AssertionError


def component(**options: Any) -> Elbv2Component:
    """A component that asks nobody."""
    options = {"load_balancer": BALANCER, "target_groups": [BLUE], **options}
    return Elbv2Component(ComponentSpec(kind="elbv2", name="edge", connection="c", options=options), unconnected)


def test_old_and_new_forms_are_stored_in_one() -> None:
    """A forward to one group, and a condition that is shown twice."""
    config = {"TargetGroups": [{"TargetGroupArn": BLUE}], "TargetGroupStickinessConfig": {"Enabled": False}}
    old = {"Port": 80, "Protocol": "HTTP", "SslPolicy": "x", "DefaultActions": [FORWARD]}
    new = {"Port": 80, "Protocol": "HTTP", "DefaultActions": [FORWARD | {"ForwardConfig": config}]}
    fields = listener_fields("edge", old)
    assert fields == listener_fields("edge", new)
    assert set(parameters_of(fields)) == {"Protocol", "DefaultActions"}
    paths = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/a"]}}
    rule = rule_fields("edge", {"Priority": "1", "Conditions": [paths | {"Values": ["/a"]}], "Actions": [FORWARD]})
    assert parameters_of(rule) == {"Conditions": [paths], "Actions": fields["actions"]}


def test_attributes_of_the_other_sort_of_cookie_are_left_out() -> None:
    """They stay behind when the sort is changed back."""
    given = {
        "stickiness.type": "app_cookie",
        "stickiness.lb_cookie.duration_seconds": "60",
        "stickiness.app_cookie.cookie_name": "SID",
    }
    fields = attributes_of({"Key": key, "Value": value} for key, value in given.items())
    assert set(fields) == {"stickiness.type", "stickiness.app_cookie.cookie_name"}


def test_what_cannot_come_back_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="listener 443 signs users in by OIDC"):
        listener_fields("edge", {"Port": 443, "Protocol": "HTTPS", "DefaultActions": [OIDC, FORWARD]})
    with pytest.raises(UnsupportedError, match="priority 7 rewrites requests"):
        rule_fields("edge", {"Priority": "7", "Conditions": [], "Actions": [FORWARD], "Transforms": [{}]})


def test_commands_are_complete() -> None:
    """ARNs that are made anew are asked for."""
    edge, fields = component(), {"conditions": [], "actions": [FORWARD]}
    changed = edge.command(Change("rule 80/10", fields, fields))
    assert changed.startswith('aws elbv2 modify-rule --rule-arn "$(aws elbv2 describe-rules --listener-arn "$(aws')
    assert "Rules[?Priority=='10'].RuleArn" in changed
    assert r"Listeners[?Port==\`80\`].ListenerArn" in changed
    assert "--priority 10" in edge.command(Change("rule 80/10", None, fields))
    assert "delete-listener" in edge.command(Change("listener 80", {"actions": []}, None))
    target = {"Id": "10.0.0.1", "Port": 80}
    words = shlex.split(edge.command(Change("target blue/10.0.0.1:80", target, None)))
    assert words[:4] == ["aws", "elbv2", "deregister-targets", "--cli-input-json"]
    assert json.loads(words[4]) == {"TargetGroupArn": BLUE, "Targets": [target]}
    words = shlex.split(edge.command(Change("group blue", {"a": "1", "b": "1"}, {"a": "1", "b": "2"})))
    assert json.loads(words[-1])["Attributes"] == [{"Key": "b", "Value": "2"}]


def test_people_are_told_of_users_who_are_there() -> None:
    sticky = {"Enabled": True, "DurationSeconds": 600}
    action = {"Type": "forward", "ForwardConfig": {"TargetGroups": [], "TargetGroupStickinessConfig": sticky}}
    notes = component().notes(
        [Change("rule 80/10", {"actions": [action]}, {"actions": []}), Change("target blue/10.0.0.1:80", {}, None)]
    )
    assert any("another 600 seconds" in note for note in notes)
    assert any("deregistration delay" in note for note in notes)


def test_steps_send_traffic_only_where_it_can_go(memory_store: Store) -> None:
    """What comes, then where traffic goes, then what goes: rules before listeners before targets."""
    gone = [Change(address, {}, None) for address in ("listener 81", "rule 80/30", "target blue/10.0.0.3:80")]
    come = [Change(address, None, {}) for address in ("listener 82", "target blue/10.0.0.1:80")]
    steps = [
        [change.address for change in batch.changes] for batch in component().batches([*gone, *come], memory_store)
    ]
    assert steps == [
        ["target blue/10.0.0.1:80"],
        ["listener 82"],
        ["rule 80/30", "listener 81", "target blue/10.0.0.3:80"],
    ]


def test_options_name_a_load_balancer_by_arn() -> None:
    with pytest.raises(ConfigurationError, match="load_balancer"):
        component(load_balancer="shop")
    with pytest.raises(ConfigurationError, match="target_groups"):
        component(target_groups=["blue"])


def test_what_is_not_there_is_named_emulated(s3: S3) -> None:
    spec = ComponentSpec(kind="elbv2", name="edge", connection="c", options={"load_balancer": BALANCER})
    with pytest.raises(ConfigurationError, match="edge: There is no load balancer"):
        Elbv2Component(spec, s3.connection).read(Digests())


def test_a_target_group_that_was_deleted_is_refused_emulated(s3: S3, memory_store: Store) -> None:
    shop = Elbv2Harness(s3)
    scenario = Scenario(shop, memory_store)
    snapshot = scenario.snapshot()
    for name in ("80/10", "80/20"):
        shop.remove(name)
    shop.elb.delete_listener(ListenerArn=shop.listeners()[80]["ListenerArn"])
    shop.elb.delete_target_group(TargetGroupArn=shop.blue)
    with pytest.raises(
        UnsupportedError, match=r"edge: There is no target group blue-.*a new one would have another ARN"
    ):
        scenario.generate(snapshot)


def test_a_listener_is_not_removed_with_rules_of_others_emulated(s3: S3, memory_store: Store) -> None:
    """Neither by a plan, nor where they come after it."""
    shop = Elbv2Harness(s3)
    scenario, before = Scenario(shop, memory_store), shop.state()
    snapshot, plan = scenario.migrated(write=False)
    shop.rule("81/50", "/theirs", shop.forward(1, 0))
    with pytest.raises(UnsupportedError, match="edge: rule 81/50: made by others"):
        scenario.generate(snapshot)
    with pytest.raises(StepFailedError, match="edge: listener 81 has got 1 rule of others"):
        scenario.execute(plan)
    assert "81/50" in shop.rules()
    shop.remove("81/50")
    scenario.execute(plan)
    scenario.assert_back(plan, before)


def test_somebody_is_faster_emulated(s3: S3) -> None:
    """A listener or a rule that is not what it was is not written; one that is to go may be gone."""
    shop = Elbv2Harness(s3)
    edge, before = Elbv2Component(shop.spec, shop.resolve), shop.state()
    now = edge.read(Digests())
    for address in ("listener 80", "rule 80/10"):
        for was in (None, now[address] | {"actions": []}):
            with pytest.raises(MovedError, match=address):
                edge.write([Change(address, was, now[address])], Digests(), RecordedProgress())  # type: ignore[arg-type]  # it reads no blob
    with pytest.raises(MovedError, match="listener 99 is gone"):
        edge.write([Change("rule 99/1", None, now["rule 80/10"])], Digests(), RecordedProgress())  # type: ignore[arg-type]  # it reads no blob
    gone = [("rule 99/1", "rule 80/10"), ("rule 80/77", "rule 80/10"), ("listener 99", "listener 80")]
    target = Change(f"target {group_name(shop.blue)}/10.0.0.77:80", {"Id": "10.0.0.77", "Port": 80}, None)
    changes = [*(Change(address, now[like], None) for address, like in gone), target]
    edge.write(changes, Digests(), RecordedProgress())  # type: ignore[arg-type]  # it reads no blob
    assert shop.state() == before


def saying(state: str) -> Trouble:
    """Moto's targets are healthy at once and never drain, so its answer is altered."""
    return lambda passed_on: httpx.Response(
        200, content=passed_on().content.replace(b">healthy<", f">{state}<".encode())
    )


def test_targets_that_come_have_time_for_their_health_check_emulated(s3: S3, gate: Gate, memory_store: Store) -> None:
    """The step waits, tells who has not passed it, and goes on; verification fails then."""
    shop = Elbv2Harness(s3)
    shop.endpoint = gate.endpoint
    shop.spec = shop.spec.model_copy(update={"options": {**shop.spec.options, "healthy_seconds": 0.0}})
    scenario, before = Scenario(shop, memory_store), shop.state()
    _, plan = scenario.migrated(write=False)
    edge, progress = Elbv2Component(shop.spec, shop.resolve), RecordedProgress()
    changes = [Change(*each) for each in json.loads(memory_store.get_blob(plan.steps[0].payload["changes"]))]
    scenario.execute(plan)
    with gate.troubling("elbv2", "DescribeTargetHealth", saying("initial")):
        edge.complete(changes, progress)
    assert progress.messages == [
        f"edge: target {group_name(shop.blue)}/10.0.0.1:80 has not passed its health check yet"
    ]
    with gate.troubling("elbv2", "DescribeTargetHealth", saying("unhealthy")):
        assert scenario.verify(plan).execution.status == "executed"
    scenario.assert_back(plan, before)


def test_waiting_for_a_health_check_is_cancelled_and_looks_again_emulated(s3: S3, gate: Gate) -> None:
    shop = Elbv2Harness(s3)
    shop.endpoint = gate.endpoint
    edge, target = Elbv2Component(shop.spec, shop.resolve), {"Id": "10.0.0.1", "Port": 80}
    come = [Change(f"target {group_name(shop.blue)}/10.0.0.1:80", None, target)]
    looks = [saying("healthy"), saying("initial")]
    with gate.troubling("elbv2", "DescribeTargetHealth", lambda passed_on: looks.pop()(passed_on)):  # noqa: PLW0108  one after the other
        edge.complete(come, RecordedProgress())
    assert not looks
    edge.cancel()
    with (
        gate.troubling("elbv2", "DescribeTargetHealth", saying("initial")),
        pytest.raises(ComponentError, match="edge: Cancelled"),
    ):
        edge.complete(come, RecordedProgress())


def test_a_target_that_drains_is_gone_emulated(s3: S3, gate: Gate) -> None:
    """What it has left ends by itself."""
    shop = Elbv2Harness(s3)
    shop.endpoint = gate.endpoint
    edge = Elbv2Component(shop.spec, shop.resolve)
    assert [each for each in edge.read(Digests()) if each.startswith("target ")]
    with gate.troubling("elbv2", "DescribeTargetHealth", saying("draining")):
        assert not [each for each in edge.read(Digests()) if each.startswith("target ")]
