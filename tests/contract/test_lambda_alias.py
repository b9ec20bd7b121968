"""Aliases of Lambda functions, as moto emulates them, keep the contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from io import BytesIO
from itertools import count
from typing import Any
from zipfile import ZipFile

import pytest

from rollback_provider.core.model import ComponentSpec
from tests.contract.aws import AwsHarness
from tests.contract.harness import Harness
from tests.contract.resource_suite import ResourceSuite
from tests.fix_store import S3

_numbers = count(1)


@cache
def role(s3: S3) -> str:
    """What functions may do: nothing."""
    principal = {"Service": "lambda.amazonaws.com"}
    trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}]}
    made = s3.client("iam").create_role(RoleName="checkout", AssumeRolePolicyDocument=json.dumps(trust))
    return str(made["Role"]["Arn"])


@cache
def code(number: int) -> bytes:
    """The code of a version."""
    content = BytesIO()
    with ZipFile(content, "w") as packed:
        packed.writestr("f.py", f"f = lambda *_: {number}\n")
    return content.getvalue()


class LambdaAliasHarness(AwsHarness):
    """A function with the versions 1 to 3, and its aliases."""

    def __init__(self, s3: S3) -> None:
        super().__init__(s3)
        self._functions, self.function = s3.client("lambda"), f"checkout-{next(_numbers)}"
        self._functions.create_function(
            FunctionName=self.function,
            Runtime="python3.12",
            Role=role(s3),
            Handler="f.f",
            Code={"ZipFile": code(1)},
            Publish=True,
        )
        for number in (2, 3):
            self._functions.update_function_code(FunctionName=self.function, ZipFile=code(number), Publish=True)
        self.part = f"{self.function}:live"
        options = {"functions": [self.function], "aliases": ["*"]}
        self.spec = ComponentSpec(kind="lambda_alias", name="checkout", connection="cloud", options=options)
        self.lead("live", 1)
        self.lead("canary", 1, {"2": 0.1})
        self.lead("old", 1)

    def lead(self, alias: str, version: int, weights: dict[str, float] | None = None, description: str = "") -> None:
        """Makes an alias, or changes it."""
        parameters = {
            "FunctionName": self.function,
            "Name": alias,
            "FunctionVersion": str(version),
            "Description": description,
            "RoutingConfig": {"AdditionalVersionWeights": weights or {}},
        }
        try:
            self._functions.update_alias(**parameters)
        except self._functions.exceptions.ResourceNotFoundException:
            self._functions.create_alias(**parameters)

    def remove(self, alias: str) -> None:
        """Removes an alias."""
        self._functions.delete_alias(FunctionName=self.function, Name=alias)

    def migrate(self) -> None:
        """One goes to a new version and back is a part of it, one to it alone; one comes and one goes."""
        self.lead("live", 2, {"1": 0.5}, "half way")
        self.lead("canary", 2)
        self.lead("new", 2)
        self.remove("old")

    def migrate_again(self) -> None:
        """The rest of the way, and further."""
        self.lead("live", 3)
        self.lead("newer", 3)

    def application_write(self) -> None:
        """Somebody makes an alias."""
        self.lead("tests", 3)

    def drift(self) -> None:
        """Somebody goes further than the migration went."""
        self.lead("live", 2, {"3": 0.25}, "half way")

    def drifted(self) -> bool:
        """It is there."""
        return bool(self.state()["live"][1] == {"AdditionalVersionWeights": {"3": 0.25}})

    def state(self) -> dict[str, Any]:
        """All aliases."""
        return {
            each["Name"]: (
                each["FunctionVersion"],
                each.get("RoutingConfig") or {"AdditionalVersionWeights": {}},
                each["Description"],
            )
            for each in self._functions.list_aliases(FunctionName=self.function)["Aliases"]
        }


class TestLambdaAliasEmulated(ResourceSuite):
    """The contract, kept by kind ``lambda_alias``."""

    stride = 13

    @pytest.fixture
    def make_harness(self, s3: S3) -> Callable[[], Harness]:
        """Makes functions."""
        return lambda: LambdaAliasHarness(s3)
