"""The three-way rule for rows of a scope, whose columns come and go with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rollback_provider.components.memory.systems import Row, State
from rollback_provider.core.merge import Finding, Versions, merge
from rollback_provider.core.model import Action


@dataclass(frozen=True)
class Rules:
    """What a migration did to one scope as a whole.

    :param created: the scope has no place in the snapshot
    :param added: columns that have no place in it
    :param fills: values of dropped columns for rows that an application has written since
    """

    created: bool
    added: tuple[str, ...]
    fills: Row

    @classmethod
    def between(cls, scope: str, then: State, left: State, fill: Mapping[str, str]) -> Rules:
        """Compares the columns of a scope; a scope without rows tells nothing of its columns."""
        before, after = (list(state.get(scope, {}).values()) for state in (then, left))
        had, has = (list({column: None for row in rows for column in row}) for rows in (before, after))
        dropped = [column for column in had if has and column not in has and all(column in row for row in before)]
        return cls(
            created=scope in left and scope not in then,
            added=tuple(column for column in has if had and column not in had),
            fills={column: fill.get(f"{scope}.{column}") for column in dropped},
        )

    def settle(self, rows: Versions, conflicts: str) -> tuple[Row | None, list[Finding]]:
        """What a row becomes, and what of that is the ledger's concern.

        :param conflicts: ``restore`` lets the snapshot win where both have changed a value, anything else the application
        """
        then, left, now = rows
        if self.created:
            return None, [Finding(Action.DISCARDED, now)] if now and now != left else []
        discarded = [
            column for column in self.added if now and column in now and now[column] != (left or {}).get(column)
        ]
        target, findings = merge(Versions(then, self._strip(left), self._strip(now)), conflicts)
        if target is not None and then is None:
            target = self.fills | target
        return target, findings + ([Finding(Action.DISCARDED, discarded)] if discarded else [])

    def _strip(self, row: Row | None) -> Row | None:
        return None if row is None else {column: value for column, value in row.items() if column not in self.added}
