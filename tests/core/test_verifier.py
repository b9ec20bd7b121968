"""Verification: the status says only what was measured."""

from __future__ import annotations

import pytest

from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.executor import abandon
from rollback_provider.core.record import load_record
from rollback_provider.core.verdict import overall
from rollback_provider.core.verification import Check, CheckStatus
from tests.core.setting import ACTOR, Setting


def test_what_was_not_executed_is_not_verified(setting: Setting) -> None:
    plan = setting.migrated()
    with pytest.raises(ConfigurationError, match="has not been executed"):
        setting.verify(plan)
    abandon(setting.store, plan.rollback_id, actor=ACTOR)
    with pytest.raises(ConfigurationError, match="has not been executed"):
        setting.verify(plan)
    assert load_record(setting.store, plan.rollback_id).execution.status == "ready"


def test_the_last_verification_counts(setting: Setting) -> None:
    plan = setting.migrated()
    setting.execute(plan)
    assert setting.verify(plan).execution.status == "verified"

    setting.migrate()
    failed = setting.verify(plan).execution
    assert (failed.status, failed.verification.status) == ("executed", CheckStatus.FAILED)
    assert failed.error == ""

    again = setting.plan_and_execute(plan.snapshot_id)
    assert again.execution.status == "executed"
    assert setting.verify(plan).execution.status == "verified"
    assert load_record(setting.store, plan.rollback_id).execution.status == "verified"


def test_every_component_is_checked(setting: Setting) -> None:
    plan = setting.migrated()
    setting.execute(plan)
    record = setting.verify(plan)
    assert {check.component for check in record.execution.verification.checks} == {"db", "app"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], CheckStatus.UNKNOWN),
        ([CheckStatus.PASSED], CheckStatus.PASSED),
        ([CheckStatus.PASSED, CheckStatus.WARNING], CheckStatus.WARNING),
        ([CheckStatus.WARNING, CheckStatus.UNKNOWN, CheckStatus.PASSED], CheckStatus.UNKNOWN),
        ([CheckStatus.UNKNOWN, CheckStatus.FAILED, CheckStatus.PASSED], CheckStatus.FAILED),
    ],
)
def test_checks_add_up_to_the_worst(found: list[CheckStatus], expected: CheckStatus) -> None:
    assert overall(Check(component="db", name="rows", status=status) for status in found) is expected
