"""Alembic: one revision is in effect, or one of each branch."""

from __future__ import annotations

import time
from collections.abc import Collection

from rollback_provider.clients.migration_tools.base import MigrationTool, Wait, matches
from rollback_provider.core.errors import UnsupportedError


class Alembic(MigrationTool):
    """``alembic current`` and ``alembic downgrade``."""

    program = "alembic"
    table = "public.alembic_version"
    version = "version_num"
    install = "pip install alembic, where this worker runs"

    def applied(self, wait: Wait = time.sleep) -> tuple[str, ...]:
        """Revisions that are heads of what was applied."""
        return tuple(sorted(matches(r"([\w.-]+)(?: \([a-z ,]+\))*", self._say("current", wait=wait))))

    def downgrade(self, now: Collection[str], target: Collection[str]) -> list[list[str]]:
        """One command, to one revision or to none."""
        if len(target) > 1:
            raise UnsupportedError(
                f"Alembic goes down to one revision, and the snapshot has several: {', '.join(sorted(target))}",
                component=self._component,
                next_step="Generate without the downgrade",
            )
        return [["downgrade", *(target or ["base"])]]
