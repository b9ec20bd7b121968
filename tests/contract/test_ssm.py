"""Parameters of Systems Manager, as moto emulates it, keep the contract."""

from __future__ import annotations

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
SECRETS = ("first-hush", "second-hush", "third-hush")


class SsmHarness(AwsHarness):
    """The settings of a shop, below a path of their own."""

    def __init__(self, s3: S3) -> None:
        super().__init__(s3)
        self.path = f"/shop{next(_numbers)}"
        self.part = f"{self.path}/workers"
        options = {"path": self.path, "exclude": [f"{self.path}/cache/*"]}
        self.spec = ComponentSpec(kind="ssm", name="settings", connection="cloud", options=options)
        self._ssm = s3.client("ssm")
        self.put("workers", "4", Description="how many", AllowedPattern=r"\d+")
        self.put("hosts", "a,b", Type="StringList")
        self.put("old", "x")
        self.put("token", SECRETS[0], Type="SecureString")
        self.put("cache/seen", "1")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The key, and what secrets hold."""
        return (*super().secrets, *SECRETS)

    def put(self, name: str, value: str, **more: Any) -> None:
        """Sets a parameter."""
        self._ssm.put_parameter(
            **{"Name": f"{self.path}/{name}", "Value": value, "Type": "String", "Overwrite": True} | more
        )

    def remove(self, name: str) -> None:
        """Removes a parameter, if it is there."""
        self._ssm.delete_parameters(Names=[f"{self.path}/{name}"])

    def migrate(self) -> None:
        """Values, a description and a secret change; one comes, one goes, one becomes another type."""
        self.put("workers", "8", Description="how many threads")
        self.put("token", SECRETS[1], Type="SecureString")
        self.put("engine", "new")
        self.remove("old")
        self.remove("hosts")
        self.put("hosts", "a")

    def migrate_again(self) -> None:
        """Some of it again, and more."""
        self.put("workers", "16")
        self.put("token", SECRETS[2], Type="SecureString")
        self.put("engine2", "newer")

    def application_write(self) -> None:
        """A tenant comes, and something is seen."""
        self.put("tenants/ada", "paid")
        self.put("cache/seen", "2")

    def drift(self) -> None:
        """Somebody else sets what the migration has set."""
        self.put("workers", "9")

    def drifted(self) -> bool:
        """It is there."""
        return bool(self.state()["workers"][1] == "9")

    def state(self) -> dict[str, Any]:
        """All parameters."""
        pages = self._ssm.get_paginator("get_parameters_by_path")
        found = pages.paginate(Path=self.path, Recursive=True, WithDecryption=True).search("Parameters")
        below = [{"Key": "Path", "Option": "Recursive", "Values": [self.path]}]
        about = self._ssm.get_paginator("describe_parameters").paginate(ParameterFilters=below).search("Parameters")
        said = {each["Name"]: (each.get("Description"), each.get("AllowedPattern")) for each in about}
        return {
            each["Name"].removeprefix(f"{self.path}/"): (each["Type"], each["Value"], said[each["Name"]])
            for each in found
        }


class TestSsmEmulated(ResourceSuite):
    """The contract, kept by kind ``ssm``."""

    stride = 13

    @pytest.fixture
    def make_harness(self, s3: S3) -> Callable[[], Harness]:
        """Makes paths."""
        return lambda: SsmHarness(s3)
