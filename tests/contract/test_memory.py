"""The reference component keeps the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from rollback_provider.components.memory import (
    State,
    create_system,
    read_system,
    remove_system,
    write_row,
    write_system,
)
from rollback_provider.core.component import Connection
from rollback_provider.core.model import ComponentSpec
from tests.contract.harness import Harness
from tests.contract.suite import ContractSuite

BEFORE: State = {
    "orders": {
        "1": {"total": "10", "status": "paid"},
        "2": {"total": "20", "status": "open"},
        "3": {"total": "30", "status": None},
    },
    "customers": {"ada": {"city": "London"}},
    "coupons": {"SPRING": {"percent": "10"}},
}
PASSWORD = "correct horse battery staple"  # noqa: S105 - of a system that lives in this process

_numbers = count(1)


class MemoryHarness:
    """A shop."""

    secrets = (PASSWORD,)
    part = "coupons"

    def __init__(self) -> None:
        self.name = f"contract-{next(_numbers)}"
        self.spec = ComponentSpec(kind="memory", name="shop", connection="shop_db", options={"system": self.name})
        self._password = PASSWORD
        create_system(self.name, BEFORE, password=PASSWORD)

    def resolve(self, connection_id: str) -> Connection:
        """The system's password."""
        return Connection(id=connection_id, type="memory", password=self._password)

    def migrate(self) -> None:
        """Changes, adds and removes rows, columns and scopes."""
        state = read_system(self.name)
        state.pop("coupons", None)
        state["vouchers"] = {"SPRING": {"value": "5"}}
        orders = state["orders"]
        orders.pop("3", None)
        orders["1"]["total"] = "1000"
        orders["100"] = {"total": "0", "status": "imported"}
        for row in orders.values():
            row["currency"] = "EUR"
        write_system(self.name, state)

    def migrate_again(self) -> None:
        """Changes again what the first has changed, and more."""
        state = read_system(self.name)
        orders = state["orders"]
        orders["1"]["total"] = "2000"
        orders["2"]["total"] = "21"
        orders.pop("100")
        orders["3"] = {"total": "3", "status": "again", "currency": "EUR"}
        state["regions"] = {"north": {"name": "North"}}
        write_system(self.name, state)

    def application_write(self) -> None:
        """Orders and customers as they come."""
        order = read_system(self.name)["orders"]["2"]
        order["status"] = "shipped"
        write_row(self.name, "orders", "2", order)
        write_row(self.name, "orders", "4", {"total": "40", "status": "new"})
        write_row(self.name, "customers", "grace", {"city": "New York"})
        write_row(self.name, "customers", "ada", None)

    def drift(self) -> None:
        """Another migration."""
        write_system(self.name, read_system(self.name) | {"invoices": {}})

    def state(self) -> object:
        """All values of all rows. A row that has no value in a column and one that has no such column are alike."""
        return {
            scope: {key: {c: value for c, value in row.items() if value is not None} for key, row in rows.items()}
            for scope, rows in read_system(self.name).items()
        }

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """The system is away."""
        state = read_system(self.name)
        remove_system(self.name)
        yield
        create_system(self.name, state, password=PASSWORD)

    @contextmanager
    def wrong_credentials(self) -> Iterator[None]:
        """The password is wrong."""
        self._password = "guess"  # noqa: S105 - the wrong one
        yield
        self._password = PASSWORD


class TestMemory(ContractSuite):
    """The contract, kept by the memory component."""

    @pytest.fixture
    def make_harness(self) -> Callable[[], Harness]:
        """Makes shops."""
        return MemoryHarness
