"""Where one row goes: the three-way merge of the base, of what the migration left and of the row right before the downgrade."""

from __future__ import annotations

from dataclasses import dataclass

from rollback_provider.components.postgres.downgrade.moments import ABSENT, Fields, Row


@dataclass(frozen=True)
class Verdict:
    """What becomes of a row.

    :param target: what it goes to; None where there is to be none
    :param clashes: columns that both the migration and an application have changed: the application's value stays
    :param leave: an application's own row, which the downgrade has left alone: it is none of the rollback's
    """

    target: Fields
    clashes: tuple[int, ...] = ()
    leave: bool = False


def settle(row: Row, defaults: list[bytes]) -> Verdict:
    """The merge.

    :param defaults: of the snapshot's columns, for rows that were written while there was no such column
    """
    if row.before == row.left:
        return Verdict(row.base)
    if row.before is None:
        return Verdict(None)
    if row.base is None or row.left is None:
        return _written(row, row.before, defaults)
    target, clashes = [], []
    for i, (old, left, now) in enumerate(zip(row.base, row.left, row.before, strict=True)):
        target.append(old if now in (ABSENT, left) else now)
        if now not in (ABSENT, left, old) and old != left:
            clashes.append(i)
    return Verdict(target, tuple(clashes))


def _written(row: Row, now: list[bytes], defaults: list[bytes]) -> Verdict:
    """A row that only applications know, or that they have changed or written again after the migration had made or deleted it."""
    clashes = tuple(range(len(now))) if row.base is not None or row.left is not None else ()
    if not clashes and row.after is not None and _alike(now, row.after):
        return Verdict(None, leave=True)
    after = row.after or [ABSENT] * len(now)
    later = [default if value == ABSENT else value for value, default in zip(after, defaults, strict=True)]
    return Verdict([other if value == ABSENT else value for value, other in zip(now, later, strict=True)], clashes)


def _alike(one: list[bytes], other: list[bytes]) -> bool:
    """Whether two rows are the same, as far as their columns are."""
    return all(a == b or ABSENT in (a, b) for a, b in zip(one, other, strict=True))
