"""What a migration did to one row, and what the row would be without it, from the log of its writes.

Beside the row as it was, the row is followed as it would be, had only applications written. A write of the migration changes the one, a
write of an application both: column by column, what it changed. A write that nobody logged shows in what the next one found; since the
migration's sessions are all logged, it was an application's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rollback_provider.components.postgres.tracking.log import Row, Write


@dataclass
class Contested:
    """A value that an application wrote over the migration's, and the migration wrote over again.

    :param before: what it would have been, had neither written; columns by attnum
    :param migrated: what the application found
    :param now: what the application wrote
    :param lost: the row itself is the migration's, and goes with what was written to it; otherwise the application's value comes back
    """

    before: Row | None
    migrated: Row | None
    now: Row | None
    lost: bool


@dataclass
class Replay:
    """One row.

    :param without: as it would be without the migration; None where there would be none
    :param real: as it is
    :param left: as the migration left it with its last write
    :param marked: whether the migration has written it
    """

    without: Row | None
    real: Row | None
    left: Row | None = None
    marked: bool = False
    contested: list[Contested] = field(default_factory=list)
    _open: list[Contested] = field(default_factory=list)

    def write(self, write: Write) -> None:
        """Follows one write."""
        if _differ(self.real, write.old):
            self._application(self.real, write.old)
        if write.marked:
            # Only what the migration writes over again is lost sight of: the rest is found when the rollback is planned.
            self.contested += self._open
            self._open = []
            self.left, self.marked = write.new, True
        else:
            self._application(write.old, write.new)
        self.real = write.new

    def _application(self, found: Row | None, made: Row | None) -> None:
        """An application has made `made` of `found`."""
        before = self.without
        if found is None or made is None:
            if _differ(before, found) and _differ(before, made):
                self._open.append(Contested(before, found, made, lost=False))
            self.without = made
            return
        changed = {number: value for number, value in made.items() if found.get(number, value) != value}
        if before is None:
            then = {number: found[number] for number in changed}
            self._open.append(Contested(None, then, changed, lost=True))
            return
        clashes = [number for number in changed if number in before and before[number] != found[number]]
        if clashes:
            was, met, now = ({number: row[number] for number in clashes} for row in (before, found, made))
            self._open.append(Contested(was, met, now, lost=False))
        self.without = {**before, **changed}


def _differ(known: Row | None, found: Row | None) -> bool:
    """Whether rows differ in what both have; a column that came or went since is DDL's affair."""
    if known is None or found is None:
        return known is not found
    return any(found.get(number, value) != value for number, value in known.items())
