"""Kinds of which the definition is all that there is to make."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Scene


class Defined(Kind):
    """A kind that is made by ``CREATE``, its keyword, its name and its definition; one that differs is dropped and made again."""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        yield self.action(then, f"CREATE {self.target(then)} {then.definition}")
