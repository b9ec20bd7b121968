"""Runs a project's Alembic migrations, in the project's own environment; imports nothing of ours.

Commands come in as JSON lines on standard input, each answered by one JSON line: ``{"result": …}`` or ``{"error": …}``.
One process serves a whole walk, because importing a project can take seconds.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine


class Migrations:
    """The Alembic migrations of an installed package.

    :param scripts: the package that holds ``env.py`` and ``versions/``
    :param metadata: ``module:attribute`` of the declarative base whose tables precede the first revision
    """

    def __init__(self, scripts: str, metadata: str) -> None:
        parent, _, folder = scripts.rpartition(".")
        self._location = str(Path(import_module(parent).__path__[0], folder))
        self._metadata = metadata

    def revisions(self) -> list[str]:
        """All revisions, the first one first."""
        script = ScriptDirectory(self._location)
        return [revision.revision for revision in script.walk_revisions()][::-1]

    def create(self, url: str) -> None:
        """Creates the tables from which the first revision starts."""
        module, _, name = self._metadata.partition(":")
        engine = create_engine(url)
        getattr(import_module(module), name).metadata.create_all(engine)
        engine.dispose()

    def upgrade(self, url: str, revision: str) -> None:
        """Upgrades the database to `revision`."""
        command.upgrade(self._config(url), revision)

    def downgrade(self, url: str, revision: str) -> None:
        """Takes the database back to `revision` (``base`` for the state before the first) in the project's own way."""
        command.downgrade(self._config(url), revision)

    def _config(self, url: str) -> Config:
        config = Config()
        config.set_main_option("script_location", self._location)
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        return config


def main() -> None:
    """Serves commands until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    migrations = Migrations(*sys.argv[1:3])
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        try:
            answer = {"result": getattr(migrations, request.pop("do"))(**request)}
        except Exception as error:  # noqa: BLE001 - whatever a migration raises is the answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
