"""Stacks of CloudFormation, as moto emulates them, keep the contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from rollback_provider.core.model import ComponentSpec
from tests.contract.aws import AwsHarness
from tests.contract.harness import Harness
from tests.contract.resource_suite import ResourceSuite
from tests.fix_store import S3

_numbers = count(1)
PASSWORD = "hush"  # noqa: S105  so that its absence is seen
APP = """
# a template as people write it
Description: release {release}
Parameters:
  Workers: {{Type: String}}
  Tenants: {{Type: String}}
  Password: {{Type: String, NoEcho: true}}
Resources:
  WorkersSetting:
    Type: AWS::SSM::Parameter
    Properties: {{Name: !Sub "/${{AWS::StackName}}/workers", Type: String, Value: !Ref Workers}}
  TenantsSetting:
    Type: AWS::SSM::Parameter
    Properties: {{Name: !Sub "/${{AWS::StackName}}/tenants", Type: String, Value: !Ref Tenants}}
"""


def topic(name: str) -> str:
    """A template in JSON."""
    return json.dumps({"Resources": {name: {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": name}}}})


class CloudformationHarness(AwsHarness):
    """Three stacks: an application's settings, and topics of two."""

    def __init__(self, s3: S3) -> None:
        super().__init__(s3)
        self.stacks, self._ssm = s3.client("cloudformation"), s3.client("ssm")
        number = next(_numbers)
        self.topics, self.others, self.app = (f"{name}-{number}" for name in ("topics", "others", "app"))
        self.part = self.app
        options = {"stacks": [self.topics, self.app, self.others]}
        self.spec = ComponentSpec(kind="cloudformation", name="stacks", connection="cloud", options=options)
        for name in (self.topics, self.others):
            self.stacks.create_stack(StackName=name, TemplateBody=topic("Orders"))
        values = {"Workers": "4", "Tenants": "ada", "Password": PASSWORD}
        self.stacks.create_stack(StackName=self.app, TemplateBody=APP.format(release=1), Parameters=_given(values))

    @property
    def secrets(self) -> tuple[str, ...]:
        """The key, and what the stack keeps to itself."""
        return (*super().secrets, PASSWORD)

    def update(self, release: int | None = None, **values: str) -> None:
        """Updates the application, to another release or the one it has."""
        kept = {"Workers", "Tenants", "Password"} - set(values)
        previous = [{"ParameterKey": key, "UsePreviousValue": True} for key in sorted(kept)]
        template: dict[str, Any] = {"UsePreviousTemplate": True}
        if release:
            template = {"TemplateBody": APP.format(release=release)}
        self.stacks.update_stack(StackName=self.app, Parameters=[*_given(values), *previous], **template)

    def migrate(self) -> None:
        """Both get another template, and the application another parameter."""
        self.stacks.update_stack(StackName=self.topics, TemplateBody=topic("Payments"))
        self.update(2, Workers="8")

    def migrate_again(self) -> None:
        """One goes further."""
        self.update(3, Workers="16")

    def application_write(self) -> None:
        """Another stack is updated."""
        self.stacks.update_stack(StackName=self.others, TemplateBody=topic("Returns"))

    def drift(self) -> None:
        """Somebody else sets the parameter that the migration has set."""
        self.update(Workers="9")

    def drifted(self) -> bool:
        """It is there."""
        return bool(self.state()["settings"]["workers"] == "9")

    def state(self) -> dict[str, Any]:
        """Templates, parameters, and the resources that came of them."""
        found = self._ssm.get_parameters_by_path(Path=f"/{self.app}")["Parameters"]
        templates = [
            self.stacks.get_template(StackName=name)["TemplateBody"] for name in (self.app, self.topics, self.others)
        ]
        return {
            "templates": json.dumps(templates),
            "settings": {each["Name"].rpartition("/")[2]: each["Value"] for each in found},
        }


def _given(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]


class TestCloudformationEmulated(ResourceSuite):
    """The contract, kept by kind ``cloudformation``."""

    stride = 17

    @pytest.fixture
    def make_harness(self, s3: S3) -> Callable[[], Harness]:
        """Makes stacks."""
        return lambda: CloudformationHarness(s3)
