"""Runs a project's Alembic migrations; see :mod:`benchmarks.corpus.serving`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from benchmarks.corpus.serving import serve


class Migrations:
    """The Alembic migrations of an installed package.

    :param scripts: the package that holds ``env.py`` and ``versions/``
    :param metadata: ``module:attribute`` of the declarative base whose tables precede the first revision; empty for none
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
        if not self._metadata:
            return
        module, _, name = self._metadata.partition(":")
        engine = create_engine(url)
        getattr(import_module(module), name).metadata.create_all(engine)
        engine.dispose()

    def upgrade(self, url: str, revision: str) -> None:
        """Upgrades the database to `revision`."""
        with self._config(url) as config:
            command.upgrade(config, revision)

    def downgrade(self, url: str, revision: str) -> None:
        """Takes the database back to `revision` (``base`` for the state before the first) in the project's own way."""
        with self._config(url) as config:
            command.downgrade(config, revision)

    @contextmanager
    def _config(self, url: str) -> Iterator[Config]:
        """By URL and as a connection: some projects' ``env.py`` reads the one, some the other."""
        config = Config()
        config.set_main_option("script_location", self._location)
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        engine = create_engine(url)
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            yield config
        engine.dispose()


if __name__ == "__main__":
    serve(lambda: Migrations(*sys.argv[1:3]))
