"""Unleash keeps the contract."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from rollback_provider.core.component import Connection
from rollback_provider.core.model import ComponentSpec
from tests.contract.harness import Harness
from tests.contract.resource_suite import ResourceSuite
from tests.fix_unleash import TOKEN, Unleash
from tests.parts import free_port


class UnleashHarness:
    """The flags of a project of their own. Names of flags are one server's, so the project is part of them."""

    secrets = (TOKEN,)

    def __init__(self, unleash: Unleash, project: str) -> None:
        self.unleash = unleash
        self.project = project
        self.checkout, self.search, self.old = (f"{project}.{name}" for name in ("checkout", "search", "old"))
        self.part = self.checkout
        options = {"project": project, "flags": [f"{project}.*"]}
        self.spec = ComponentSpec(kind="unleash", name="flags", connection="unleash", options=options)
        self._connection = unleash.connection()
        self.add(self.checkout)
        self.roll_out(self.checkout, 10)
        self.roll_out(self.checkout, 100, users=["ada"])
        self.add(self.old)
        self.turn(self.old, on=True)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Asks about flags of this project."""
        return self.unleash.ask(method, f"/projects/{self.project}{path}", body)

    def add(self, name: str) -> None:
        """Adds a flag, or revives it."""
        if self.unleash.ask("GET", f"/search/features?project=IS:{self.project}&archived=IS:true&query={name}")[
            "total"
        ]:
            self.ask("POST", "/revive", {"features": [name]})
        else:
            self.ask("POST", "/features", {"name": name, "type": "release"})

    def strategies(self, name: str) -> list[dict[str, Any]]:
        """Of a flag in production."""
        found = self.ask("GET", f"/features/{name}/environments/production/strategies")
        return sorted(found, key=lambda each: int(each["sortOrder"]))

    def roll_out(self, name: str, rollout: int, *, place: int | None = None, users: list[str] | None = None) -> None:
        """Adds a strategy, or changes the one in a place."""
        path = f"/features/{name}/environments/production/strategies"
        body = {
            "name": "flexibleRollout",
            "parameters": {"rollout": str(rollout), "stickiness": "default", "groupId": name},
            "constraints": [{"contextName": "userId", "operator": "IN", "values": users}] if users else [],
            "variants": [{"name": "blue", "weight": 1000, "weightType": "variable", "stickiness": "default"}],
        }
        if place is None:
            self.ask("POST", path, body)
        else:
            self.ask("PUT", f"{path}/{self.strategies(name)[place]['id']}", body)

    def roll_out_alone(self, name: str, rollout: int) -> None:
        """Makes this the only strategy."""
        self.roll_out(name, rollout, place=0)
        for extra in self.strategies(name)[1:]:
            self.ask("DELETE", f"/features/{name}/environments/production/strategies/{extra['id']}")

    def turn(self, name: str, *, on: bool) -> None:
        """Turns a flag on or off in production."""
        self.ask("POST", f"/features/{name}/environments/production/{'on' if on else 'off'}")

    def resolve(self, connection_id: str) -> Connection:
        """An administrator's token."""
        return self._connection

    def migrate(self) -> None:
        """Checkout is for all and on, the search is new, and the old flag goes."""
        self.roll_out_alone(self.checkout, 100)
        self.turn(self.checkout, on=True)
        if "search" not in self.state():
            self.add(self.search)
            self.turn(self.search, on=True)
        self.ask("POST", "/archive", {"features": [self.old]})

    def migrate_again(self) -> None:
        """Some of it again, and more."""
        self.roll_out(self.checkout, 50, place=0)
        self.turn(self.search, on=False)

    def application_write(self) -> None:
        """Somebody adds a flag."""
        name = f"{self.project}.ads"
        self.ask("POST", "/features", {"name": name, "type": "experiment"})

    def drift(self) -> None:
        """Somebody reduces what the migration has rolled out."""
        self.roll_out_alone(self.checkout, 7)

    def drifted(self) -> bool:
        """It is there."""
        return any(each["parameters"]["rollout"] == "7" for each in self.strategies(self.checkout))

    def state(self) -> dict[str, Any]:
        """All flags, without what Unleash gives anew and the name of the project."""
        names = [each["name"] for each in self.ask("GET", "/features")["features"]]
        flags = json.dumps({name: self._flag(name) for name in names})
        found: dict[str, Any] = json.loads(flags.replace(f"{self.project}.", ""))
        return found

    def _flag(self, name: str) -> Any:
        found = self.ask("GET", f"/features/{name}")
        environments = [
            (
                each["name"],
                each["enabled"],
                [
                    {key: value for key, value in strategy.items() if key not in {"id", "sortOrder"}}
                    for strategy in sorted(each["strategies"], key=lambda strategy: int(strategy["sortOrder"]))
                ],
            )
            for each in found["environments"]
        ]
        return found["type"], found["description"], found["stale"], found["archived"], environments

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Nobody listens."""
        there, self._connection = self._connection, replace(self._connection, port=free_port())
        yield
        self._connection = there

    @contextmanager
    def wrong_credentials(self) -> Iterator[None]:
        """A token that Unleash does not know."""
        right, self._connection = self._connection, replace(self._connection, password="*:*.unknown")  # noqa: S106
        yield
        self._connection = right


class TestUnleash(ResourceSuite):
    """The contract, kept by kind ``unleash``. A try takes a hundred calls."""

    stride = 13

    @pytest.fixture
    def make_harness(self, unleash: Unleash, next_project: Callable[[], str]) -> Callable[[], Harness]:
        """Makes projects."""
        return lambda: UnleashHarness(unleash, next_project())
