"""The history checker: decides from the writes themselves whether each acknowledged one is there or in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from rollback_provider.core.base import Json
from rollback_provider.core.model import Action
from rollback_provider.core.rehearsal.model import Write, WriteOutcome

Row = tuple[str, tuple[str, ...]]
"""A row: its table's name and its key, both as in the snapshot."""
_GIVEN_UP = frozenset({Action.CONFLICT_RESTORED, Action.DISCARDED, Action.AMBIGUOUS})
"""What the ledger says of a write that it does not keep; an entry of any other action promises that the write stays."""
Found = Mapping[Row, Mapping[str, str | None] | None]
"""What rows hold now, as text by column; None for one that is not there."""


@dataclass
class _Expected:
    """What a row may be, by all that was written to it.

    :param there: whether it may be there, or may be gone: both after a write of which nobody knows
    :param values: what a column may hold; a column that is not named was written by nobody
    """

    there: set[bool]
    values: dict[str, set[str]] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)

    def add(self, write: Write) -> None:
        """One more write, later than the others."""
        known = write.outcome is WriteOutcome.ACKNOWLEDGED
        exists = write.action != "delete"
        self.there = {exists} if known else self.there | {exists}
        for column, token in write.values.items():
            if known:
                self.values[column] = {token}
                self.open.discard(column)
            else:
                if column not in self.values:
                    self.open.add(column)  # what it held before is not known here
                self.values.setdefault(column, set()).add(token)

    def problem(self, row: Mapping[str, str | None] | None) -> str:
        """What is wrong with the row as it is now; empty where nothing is."""
        if row is None:
            return "" if False in self.there else "an application wrote it, and it is not there"
        if True not in self.there:
            return "an application deleted it, and it is there"
        for column, tokens in self.values.items():
            now = row.get(column)
            if column not in self.open and not any(_same(token, now) for token in tokens):
                return f"{column} is {now!r}, and an application wrote {' or '.join(sorted(map(repr, tokens)))}"
        return ""


def expected_rows(writes: Iterable[Write]) -> set[Row]:
    """The rows that writes are about."""
    return {(write.scope, write.key) for write in writes}


def check_history(writes: Sequence[Write], found: Found, ledger: Iterable[Json]) -> tuple[list[str], int]:
    """What was lost, in words, and how many rows are not as applications left them but are listed as given up in the ledger.

    :param writes: in the order in which they were made
    :param found: the rows that they are about, as they are after the rollback
    :param ledger: all entries, of the plan and of its execution
    """
    expected: dict[Row, _Expected] = {}
    for write in writes:
        before = write.action != "insert"
        expected.setdefault((write.scope, write.key), _Expected(there={before})).add(write)
    listed = {
        (str(entry["scope"]), tuple(map(str, entry["key"].values())))
        for entry in ledger
        if entry["action"] in _GIVEN_UP
    }
    lost: list[str] = []
    count = 0
    for row, wanted in expected.items():
        problem = wanted.problem(found.get(row))
        if problem and row in listed:
            count += 1
        elif problem:
            lost.append(f"{row[0]} {', '.join(row[1])}: {problem}, and the ledger does not give it up")
    return lost, count


def _same(token: str, now: str | None) -> bool:
    """Whether a value is the token, also where its type has written it in another way."""
    if now is None or token == now:
        return token == now
    try:
        return Decimal(token) == Decimal(now)
    except InvalidOperation:
        return token == now.rstrip()
