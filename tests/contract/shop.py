"""A shop on six systems that are migrated together, each the system of its own contract test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rollback_provider.core.component import Connection
from rollback_provider.core.model import ComponentSpec
from tests.contract.harness import Harness


@dataclass(frozen=True)
class Known:
    """A connection resolver that can be handed to another process."""

    connections: Mapping[str, Connection]

    def __call__(self, connection_id: str) -> Connection:
        """The connection of this id."""
        return self.connections[connection_id]


class Shop:
    """Systems in the order in which a migration changes them.

    :param systems: by the name of the component
    :param after: which components a component is migrated after
    """

    def __init__(self, systems: Mapping[str, Harness], after: Mapping[str, Sequence[str]]) -> None:
        self.systems = systems
        self.specs = [
            harness.spec.model_copy(update={"name": name, "after": tuple(after.get(name, ()))})
            for name, harness in systems.items()
        ]
        self.resolve = Known(
            {
                spec.connection: harness.resolve(spec.connection)
                for spec, harness in zip(self.specs, systems.values(), strict=True)
                if spec.connection
            }
        )

    def spec(self, name: str) -> ComponentSpec:
        """The declaration of one of them."""
        return next(spec for spec in self.specs if spec.name == name)

    def migrate(self) -> None:
        """All of them, in order."""
        for system in self.systems.values():
            system.migrate()

    def application_write(self) -> None:
        """To all of them."""
        for system in self.systems.values():
            system.application_write()

    def state(self) -> dict[str, object]:
        """Of each."""
        return {name: system.state() for name, system in self.systems.items()}
