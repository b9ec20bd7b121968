"""dbmate: versions are numbers that only rise, and one command takes the last one back."""

from __future__ import annotations

import time
from collections.abc import Collection

from rollback_provider.clients.migration_tools.base import MigrationTool, Wait, matches
from rollback_provider.core.errors import UnsupportedError


class Dbmate(MigrationTool):
    """``dbmate status`` and ``dbmate rollback``."""

    program = "dbmate"
    arguments = ("--no-dump-schema",)
    table = "public.schema_migrations"
    version = "version"
    install = "Install dbmate where this worker runs"
    url_variable = "DATABASE_URL"

    def applied(self, wait: Wait = time.sleep) -> tuple[str, ...]:
        """Versions that were applied and that have a file."""
        return tuple(sorted(matches(r"\[X\] (\d+)\D.*", self._say("status", wait=wait))))

    def downgrade(self, now: Collection[str], target: Collection[str]) -> list[list[str]]:
        """One command for each version."""
        if sorted(now)[: len(target)] != sorted(target):
            raise UnsupportedError(
                "dbmate takes back the newest version first, and the snapshot's are not the oldest of those that are applied",
                component=self._component,
                next_step="Generate without the downgrade",
            )
        return [["rollback"]] * (len(now) - len(target))
