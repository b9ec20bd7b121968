"""Django: each application has migrations of its own, in an order."""

from __future__ import annotations

import time
from collections.abc import Collection

from rollback_provider.clients.migration_tools.base import MigrationTool, Wait, matches
from rollback_provider.core.errors import UnsupportedError


class Django(MigrationTool):
    """``manage.py showmigrations`` and ``manage.py migrate``. A version is ``application.migration``."""

    program = "python"
    arguments = ("manage.py",)
    table = "public.django_migrations"
    version = "app || '.' || name"
    install = "Name the interpreter of the project's environment: `program`"

    def applied(self, wait: Wait = time.sleep) -> tuple[str, ...]:
        """All migrations that were applied and that the project's code knows."""
        return tuple(sorted(matches(r"\[X\]\s+(\S+).*", self._say("showmigrations", "--plan", wait=wait))))

    def downgrade(self, now: Collection[str], target: Collection[str]) -> list[list[str]]:
        """One command for each application that has newer migrations; Django takes those that need them back, too."""
        if gone := set(target) - set(now):
            raise UnsupportedError(
                f"Migrations of the snapshot are not applied any more: {', '.join(sorted(gone))}",
                component=self._component,
                next_step="Generate without the downgrade",
            )
        applications = dict.fromkeys(version.partition(".")[0] for version in sorted(set(now) - set(target)))
        commands = []
        for application in applications:
            kept = [v.partition(".")[2] for v in sorted(target) if v.startswith(f"{application}.")]
            commands.append(["migrate", "--noinput", application, kept[-1] if kept else "zero"])
        return commands
