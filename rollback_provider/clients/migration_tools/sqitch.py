"""Sqitch: changes are deployed in the order of a plan, and reverted in the other."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from rollback_provider.clients.migration_tools.base import MigrationTool, Wait, matches
from rollback_provider.core.errors import UnsupportedError

_NOTHING_DEPLOYED = 1
"""Exit code of ``sqitch status``."""


class Sqitch(MigrationTool):
    """``sqitch status`` and ``sqitch revert``. A version is a change's name, with its number in the order of deployment before it."""

    program = "sqitch"
    table = "sqitch.changes"
    version = "lpad((row_number() over (order by committed_at))::text, 6, '0') || ' ' || change"
    install = "Install sqitch and DBD::Pg where this worker runs"

    def applied(self, wait: Wait = time.sleep) -> tuple[str, ...]:
        """All changes that were deployed."""
        said = self._say("status", "--show-changes", *_TARGET, wait=wait, accept=(0, _NOTHING_DEPLOYED))
        _, _, changes = said.partition("# Changes:" if "# Changes:" in said else "# Change:\n")
        names = [*matches(r"#   (\S+) +- .*", changes)]
        return tuple(f"{number:06} {name}" for number, name in enumerate(reversed(names), start=1))

    def downgrade(self, now: Collection[str], target: Collection[str]) -> list[list[str]]:
        """One command, to the last change that stays."""
        if sorted(now)[: len(target)] != sorted(target):
            raise UnsupportedError(
                "Sqitch reverts the newest change first, and the snapshot's are not the oldest of those that are deployed",
                component=self._component,
                next_step="Generate without the downgrade",
            )
        to: Sequence[str] = ("--to", max(target).partition(" ")[2]) if target else ()
        return [["revert", "-y", *_TARGET, *to]]

    def owns(self, scope: str) -> bool:
        """Everything in its schema."""
        return scope.partition(".")[0] == self.history.partition(".")[0]


_TARGET = ("--target", "db:pg:")
"""Where it is by environment."""
