"""What every kind of AWS says when its service is overloaded, refuses, or does a call and is not heard; and that a retry goes on there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from rollback_provider.core.errors import ComponentUnavailableError, PermissionDeniedError
from rollback_provider.core.repository import Store
from tests.contract.suite import Scenario
from tests.contract.test_cloudformation import CloudformationHarness
from tests.contract.test_ecs import EcsHarness
from tests.contract.test_elbv2 import Elbv2Harness
from tests.contract.test_lambda_alias import LambdaAliasHarness
from tests.contract.test_route53 import Route53Harness
from tests.contract.test_ssm import SsmHarness
from tests.fix_store import S3
from tests.parts.gate import Gate


class Kind(NamedTuple):
    """A kind, an operation by which it reads, and one by which it writes."""

    harness: Callable[[S3], Any]
    service: str
    reads: str
    writes: str


KINDS = {
    "cloudformation": Kind(CloudformationHarness, "cloudformation", "GetTemplate", "ExecuteChangeSet"),
    "ecs": Kind(EcsHarness, "ecs", "DescribeServices", "UpdateService"),
    "elbv2": Kind(Elbv2Harness, "elbv2", "DescribeListeners", "ModifyRule"),
    "lambda_alias": Kind(LambdaAliasHarness, "lambda", "ListAliases", "UpdateAlias"),
    "route53": Kind(Route53Harness, "route53", "ListResourceRecordSets", "ChangeResourceRecordSets"),
    "ssm": Kind(SsmHarness, "ssm", "GetParametersByPath", "PutParameter"),
}
REFUSALS = [("ThrottlingException", ComponentUnavailableError), ("AccessDeniedException", PermissionDeniedError)]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each in turn."""
    return KINDS[request.param]


@pytest.fixture
def scenario(kind: Kind, s3: S3, gate: Gate, memory_store: Store) -> Scenario:
    """A system behind the gate."""
    harness = kind.harness(s3)
    harness.endpoint = gate.endpoint
    return Scenario(harness, memory_store)


def test_what_cannot_be_read_or_written_now_can_be_later(scenario: Scenario, kind: Kind, gate: Gate) -> None:
    """Each error names component, operation and refusal."""
    harness, before = scenario.harness, scenario.harness.state()
    for code, error in REFUSALS:
        with (
            gate.refusing(kind.service, kind.reads, code),
            pytest.raises(error, match=f"{harness.spec.name}: .*{code}"),
        ):
            scenario.snapshot()
    _, plan = scenario.migrated(write=False)
    for code, error in REFUSALS:
        with (
            gate.refusing(kind.service, kind.writes, code),
            pytest.raises(error, match=f"{harness.spec.name}: .*{code}"),
        ):
            scenario.execute(plan)
    assert harness.state() != before
    scenario.execute(plan)
    scenario.assert_back(plan, before)


def test_a_call_that_was_done_and_not_heard_is_not_done_twice(scenario: Scenario, kind: Kind, gate: Gate) -> None:
    """Each time the worker hears nothing, and each retry finds what was done."""
    before = scenario.harness.state()
    snapshot, plan = scenario.migrated(write=False)
    with gate.losing_answers(kind.service, kind.writes):
        for _ in range(20):
            try:
                scenario.execute(plan)
            except ComponentUnavailableError as error:
                assert "gives no answer" in str(error)
            else:
                break
        else:
            raise AssertionError
    scenario.assert_back(plan, before)
    assert scenario.generate(snapshot).ledger.total() == 0
