"""Liquibase: changesets run in an order, and the last ones are taken back by their number."""

from __future__ import annotations

import time
from collections.abc import Collection
from urllib.parse import quote, urlencode

from rollback_provider.clients.migration_tools.base import MigrationTool, Wait, matches
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ConfigurationError, UnsupportedError


class Liquibase(MigrationTool):
    """``liquibase history`` and ``liquibase rollback-count``.

    A version is what Liquibase shows of a changeset, ``path::id::author``, with its number in the order of execution before it.
    """

    program = "liquibase"
    table = "public.databasechangelog"
    version = (
        "lpad((row_number() over (order by dateexecuted, orderexecuted))::text, 6, '0') || ' ' || "
        r"regexp_replace(regexp_replace(filename, '[\\/]+', '/', 'g'), '^(classpath:)?(\.?/)*', '')"
        " || '::' || id || '::' || author"
    )
    """With paths as Liquibase shows them, who has stored some in an older form."""
    install = "Install Liquibase, and Java for it, where this worker runs"

    def applied(self, wait: Wait = time.sleep) -> tuple[str, ...]:
        """All changesets that were run and that the changelog holds."""
        run = [*matches(rf" {{2}}{_CHANGESET}", self._say("history", "--format=TEXT", wait=wait))]
        if not run:
            return ()  # the other command would make the history table
        unexpected = self._say("unexpected-changesets", "--verbose", wait=wait)
        unknown = {*matches(rf" +{_CHANGESET}", unexpected)}
        return tuple(f"{number:06} {name}" for number, name in enumerate(run, start=1) if name not in unknown)

    def downgrade(self, now: Collection[str], target: Collection[str]) -> list[list[str]]:
        """One command, for as many changesets as are newer."""
        if sorted(now)[: len(target)] != sorted(target):
            raise UnsupportedError(
                "Liquibase takes back the newest changeset first, and the snapshot's are not the oldest of those that were run",
                component=self._component,
                next_step="Generate without the downgrade",
            )
        return [["rollback-count", str(len(now) - len(target))]]

    def owns(self, scope: str) -> bool:
        """Its lock, too."""
        return scope in {self.history, f"{self.history.partition('.')[0]}.databasechangeloglock"}

    def _environment(self, connection: Connection) -> dict[str, str | None]:
        known = super()._environment(connection)
        host = known["PGHOST"]
        if not host or host.startswith("/"):
            raise ConfigurationError(
                f"Liquibase reaches a database by TCP alone, and the connection {connection.id!r} "
                + (f"names the socket {host}" if host else "names no host"),
                component=self._component,
                next_step="Give the connection a host and a port",
            )
        port = f":{connection.port}" if connection.port else ""
        query = {key: str(value) for key, value in connection.extra.items() if key.startswith("ssl")}
        query |= {"ApplicationName": known["PGAPPNAME"] or "", "options": known["PGOPTIONS"] or ""}
        path = quote(connection.schema or "", safe="")
        return known | {
            "LIQUIBASE_COMMAND_URL": f"jdbc:postgresql://{host}{port}/{path}?{urlencode(query, quote_via=quote)}",
            "LIQUIBASE_COMMAND_USERNAME": connection.login,
            "LIQUIBASE_COMMAND_PASSWORD": connection.password,
            "LIQUIBASE_CHANGELOG_LOCK_WAIT_TIME_IN_MINUTES": "1",
            "LIQUIBASE_SHOW_BANNER": "false",
        }


_CHANGESET = r"(\S.*::.*::.*)"
