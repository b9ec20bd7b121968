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
def checkout(s3: S3) -> str:
    """A function with the versions 1 to 3."""
    trust = {
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}]
    }
    role = s3.client("iam").create_role(RoleName="checkout", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    functions = s3.client("lambda")
    functions.create_function(
        FunctionName="checkout", Runtime="python3.12", Role=role, Handler="f.f", Code={"ZipFile": code(1)}, Publish=True
    )
    for number in (2, 3):
        functions.update_function_code(FunctionName="checkout", ZipFile=code(number), Publish=True)
    return "checkout"


def code(number: int) -> bytes:
    """The code of a version."""
    content = BytesIO()
    with ZipFile(content, "w") as packed:
        packed.writestr("f.py", f"f = lambda *_: {number}\n")
    return content.getvalue()


class LambdaAliasHarness(AwsHarness):
    """Aliases of their own of one function."""

    def __init__(self, s3: S3) -> None:
        super().__init__(s3)
        self._functions, self._function = s3.client("lambda"), checkout(s3)
        self._number = next(_numbers)
        self.part = f"{self._function}:{self.name('live')}"
        options = {"functions": [self._function], "aliases": [self.name("*")]}
        self.spec = ComponentSpec(kind="lambda_alias", name="checkout", connection="cloud", options=options)
        self.lead("live", 1)
        self.lead("canary", 1, {"2": 0.1})
        self.lead("old", 1)

    def name(self, alias: str) -> str:
        """Its name here."""
        return f"{alias}-{self._number}"

    def lead(self, alias: str, version: int, weights: dict[str, float] | None = None, description: str = "") -> None:
        """Makes an alias, or changes it."""
        there = alias in self.state()
        getattr(self._functions, "update_alias" if there else "create_alias")(
            FunctionName=self._function,
            Name=self.name(alias),
            FunctionVersion=str(version),
            Description=description,
            RoutingConfig={"AdditionalVersionWeights": weights or {}},
        )

    def remove(self, alias: str) -> None:
        """Removes an alias."""
        self._functions.delete_alias(FunctionName=self._function, Name=self.name(alias))

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
        """All aliases of these names."""
        found = self._functions.list_aliases(FunctionName=self._function)["Aliases"]
        tail = self.name("")
        return {
            each["Name"].removesuffix(tail): (
                each["FunctionVersion"],
                each.get("RoutingConfig") or {"AdditionalVersionWeights": {}},
                each["Description"],
            )
            for each in found
            if each["Name"].endswith(tail)
        }


class TestLambdaAliasEmulated(ResourceSuite):
    """The contract, kept by kind ``lambda_alias``."""

    stride = 7

    @pytest.fixture
    def make_harness(self, s3: S3) -> Callable[[], Harness]:
        """Makes aliases."""
        return lambda: LambdaAliasHarness(s3)
