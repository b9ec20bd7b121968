"""Runs the user's own migration on a copy: SQL files, an Alembic project, or a function."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import psycopg

from rollback_provider.clients.migration_source import function_of, read_source
from rollback_provider.core.errors import ConfigurationError, RollbackError, StepFailedError
from rollback_provider.core.rehearsal.model import Migration

_LET_IN = re.compile(r"attributes|sqlalchemy\.url|engine_from_config|get_section|get_main_option")
"""How an env.py of Alembic takes the connection that it is given."""
_alembic = threading.Lock()
"""Alembic keeps what it is doing in globals."""


def run_inside(migration: Migration, connection: psycopg.Connection[Any], component: str) -> None:
    """Runs SQL files or a function on an open connection."""
    if migration.function:
        call = function_of(migration.function)
        with _failing(f"{migration.function} has failed", component):
            call(connection)
    for path in migration.sql:
        content = read_source(path)
        with _failing(f"{path} has failed", component):
            connection.execute(content)


def run_alembic(migration: Migration, url: str, component: str) -> None:
    """Upgrades with Alembic, whose ``env.py`` is given the copy as ``sqlalchemy.url``.

    Raises ConfigurationError for one that takes its connection from elsewhere: it would migrate whatever that leads to.
    """
    from alembic import command
    from alembic.config import Config

    assert migration.alembic  # noqa: S101  the caller looked
    read_source(migration.alembic)
    config = Config(migration.alembic)
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    config.attributes["configure_logger"] = False
    environment = Path(config.get_main_option("script_location") or "") / "env.py"
    if not _LET_IN.search(read_source(str(environment)).decode(errors="replace")):
        raise ConfigurationError(
            f"{environment} takes its connection neither from sqlalchemy.url nor from the configuration's attributes",
            component=component,
            state="It was not run: it would migrate whatever it names itself",
            next_step="Have it read config.get_main_option('sqlalchemy.url')",
        )
    with _alembic, _failing(f"Alembic has failed to upgrade to {migration.revision}", component):
        command.upgrade(config, migration.revision)


class _failing:  # noqa: N801  used as a context manager alone
    """Turns what the user's migration raises into a StepFailedError; what PostgreSQL wants to be tried again passes."""

    def __init__(self, what: str, component: str) -> None:
        self._what = what
        self._component = component

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        again = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable)
        if error is None or not isinstance(error, Exception) or isinstance(error, (RollbackError, *again)):
            return
        text = " ".join(str(error).split())[:500]
        raise StepFailedError(
            f"{self._what}: {type(error).__name__}: {text}",
            component=self._component,
            state="This happened on the copy, which is thrown away; the original was not reached",
            next_step="Correct the migration, then rehearse again",
        ) from error
