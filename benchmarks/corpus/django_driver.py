"""Runs a project's Django migrations; see :mod:`benchmarks.corpus.serving`.

A revision is ``application.migration``; the first one starts from an empty database.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import parse_qs, urlsplit

import django
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from benchmarks.corpus.serving import serve


class Migrations:
    """The migrations of all applications that a settings module installs."""

    def __init__(self, settings: str) -> None:
        os.environ["DJANGO_SETTINGS_MODULE"] = settings
        django.setup()

    def revisions(self) -> list[str]:
        """All migrations, in an order in which each comes after those that it needs."""
        graph = MigrationLoader(None).graph
        plan = [node for leaf in graph.leaf_nodes() for node in graph.forwards_plan(leaf)]
        return [".".join(node) for node in dict.fromkeys(plan)]

    def create(self, url: str) -> None:
        """Nothing precedes the first revision."""

    def upgrade(self, url: str, revision: str) -> None:
        """Applies `revision` to the database."""
        self._migrate(url, revision, below=False)

    def downgrade(self, url: str, revision: str) -> None:
        """Takes the revision after `revision` (``base`` for the state before the first) back in the project's own way."""
        order = ["base", *self.revisions()]
        self._migrate(url, order[order.index(revision) + 1], below=True)

    def _migrate(self, url: str, revision: str, *, below: bool) -> None:
        found = urlsplit(url)
        where = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": found.path[1:],
            "USER": found.username or "",
            "PASSWORD": found.password or "",
            "HOST": found.hostname or parse_qs(found.query).get("host", [""])[0],
            "PORT": str(found.port or ""),
        }
        connections["default"].close()
        connections.settings["default"].update(where)
        del connections["default"]
        executor = MigrationExecutor(connection)
        application, _, name = revision.partition(".")
        target = (application, name)
        if below:
            parents = executor.loader.graph.node_map[target].parents
            before = [node.key for node in parents if node.key[0] == application]
            target = max(before, default=(application, None))
        executor.migrate([target])
        connection.close()


if __name__ == "__main__":
    serve(lambda: Migrations(sys.argv[1]))
