"""What the contract suite needs to know of a component."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from rollback_provider.core.component import Connection
from rollback_provider.core.model import ComponentSpec


class Harness(Protocol):
    """A system of its own with something in it, and the ways in which a test changes it.

    Every harness that a factory makes begins in the same state.
    """

    spec: ComponentSpec

    part: str
    """A part of it, as a policy names it, that a migration changes and that can be rolled back alone."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be stored or shown: at least the password, if the system has one."""
        ...

    def resolve(self, connection_id: str) -> Connection:
        """The resolver the component is built with."""
        ...

    def migrate(self) -> None:
        """Changes the system as a migration does, in more than one place."""
        ...

    def migrate_again(self) -> None:
        """Changes the migrated system as a second migration does, some of it in the same places."""
        ...

    def application_write(self) -> None:
        """Adds and changes things as an application does, before a migration or after it, without touching what it touches."""
        ...

    def drift(self) -> None:
        """Changes what a plan relies on, so that it does not hold any more."""
        ...

    def state(self) -> object:
        """All there is, read without the component; equal for equal states."""
        ...

    def unreachable(self) -> AbstractContextManager[None]:
        """Within this context the system cannot be reached."""
        ...

    def wrong_credentials(self) -> AbstractContextManager[None]:
        """Within this context the system refuses what `resolve` gives."""
        ...
