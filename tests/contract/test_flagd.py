"""Flag files of flagd keep the contract."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollback_provider.core.component import Connection
from rollback_provider.core.model import ComponentSpec
from tests.contract.harness import Harness
from tests.contract.resource_suite import ResourceSuite

BOOLEAN = {"on": True, "off": False}
FLAGS: dict[str, Any] = {
    "$schema": "https://flagd.dev/schema/v0/flags.json",
    "flags": {
        "new-checkout": {"state": "ENABLED", "variants": BOOLEAN, "defaultVariant": "off"},
        "banner": {"state": "ENABLED", "variants": {"none": "", "sale": "Rabatt für alle"}, "defaultVariant": "none"},
        "old-search": {"state": "DISABLED", "variants": BOOLEAN, "defaultVariant": "on"},
        "limits": {"state": "ENABLED", "variants": {"low": 1, "high": 10}, "defaultVariant": "low", "targeting": {}},
    },
    "$evaluators": {"staff": {"in": ["@shop.example", {"var": "email"}]}},
    "metadata": {"team": "shop"},
}


class FlagdHarness:
    """The flags of a shop."""

    secrets = ()
    part = "new-checkout"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec = ComponentSpec(kind="flagd", name="flags", options={"path": str(path)})
        self._save(FLAGS)

    def _load(self) -> dict[str, Any]:
        document: dict[str, Any] = yaml.safe_load(self.path.read_text("utf-8"))
        return document

    def _save(self, document: dict[str, Any]) -> None:
        dump = yaml.safe_dump if self.path.suffix == ".yaml" else json.dumps
        self.path.write_text(dump(document), "utf-8")

    def _change(self, **flags: dict[str, Any]) -> None:
        document = self._load()
        for name, fields in flags.items():
            document["flags"].setdefault(name.replace("_", "-"), {}).update(fields)
        self._save(document)

    def resolve(self, connection_id: str) -> Connection:
        """There is none."""
        raise AssertionError(connection_id)

    def migrate(self) -> None:
        """A flag is switched and targeted, one comes, one goes; a shared rule changes and another comes."""
        targeting = {"if": [{"$ref": "staff"}, "on", "off"]}
        self._change(
            new_checkout={"defaultVariant": "on", "targeting": targeting},
            limits={"targeting": {"if": [{"$ref": "beta"}, "high"]}},
            new_search={"state": "ENABLED", "variants": BOOLEAN, "defaultVariant": "on"},
        )
        document = self._load()
        document["flags"].pop("old-search", None)
        document["$evaluators"] = {"staff": {"ends_with": [{"var": "email"}, "@shop.example"]}, "beta": {"var": "beta"}}
        self._save(document)

    def migrate_again(self) -> None:
        """Some of it again, and more."""
        self._change(new_checkout={"targeting": {"if": [{"$ref": "beta"}, "on"]}}, new_search={"state": "DISABLED"})

    def application_write(self) -> None:
        """Somebody starts a sale and adds a flag."""
        self._change(
            banner={"defaultVariant": "sale"},
            ads={"state": "ENABLED", "variants": BOOLEAN, "defaultVariant": "off"},
        )

    def drift(self) -> None:
        """Somebody turns off what the migration has turned on."""
        self._change(new_checkout={"targeting": {"if": [False, "on"]}})

    def drifted(self) -> bool:
        """It is there."""
        return bool(self._load()["flags"]["new-checkout"].get("targeting") == {"if": [False, "on"]})

    def state(self) -> object:
        """The whole file."""
        return self._load()

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """The file is not mounted."""
        away = self.path.rename(self.path.with_suffix(".away"))
        yield
        away.rename(self.path)

    wrong_credentials = unreachable
    """Files know no credentials."""


class TestFlagd(ResourceSuite):
    """The contract, kept by kind ``flagd``."""

    @pytest.fixture
    def make_harness(self, tmp_path: Path) -> Callable[[], Harness]:
        """Makes flag files."""
        numbers = count(1)
        return lambda: FlagdHarness(tmp_path / f"flags-{next(numbers)}.json")
