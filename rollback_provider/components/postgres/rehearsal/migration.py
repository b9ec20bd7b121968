"""Runs the user's own migration on a copy: SQL files, an Alembic project, or a function."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg

from rollback_provider.core.errors import ConfigurationError, RollbackError, StepFailedError
from rollback_provider.core.rehearsal.model import Migration

_LET_IN = re.compile(r"attributes|sqlalchemy\.url|engine_from_config|get_section|get_main_option")
"""How an env.py of Alembic takes the connection that it is given."""
_alembic = threading.Lock()
"""Alembic keeps what it is doing in globals."""


def digest_of_migration(migration: Migration) -> str:
    """sha256 of all that the migration consists of: its files, its revisions, or the source of its function's module.

    Raises ConfigurationError where a part of it is missing.
    """
    hashed = hashlib.sha256(json.dumps(migration.to_json(), sort_keys=True).encode())
    for content in _parts(migration):
        hashed.update(hashlib.sha256(content).digest())
    return hashed.hexdigest()


def run_inside(migration: Migration, connection: psycopg.Connection[Any], component: str) -> None:
    """Runs SQL files or a function on an open connection."""
    if migration.function:
        call = _function(migration.function)
        with _failing(f"{migration.function} has failed", component):
            call(connection)
    for path in migration.sql:
        content = _read(path)
        with _failing(f"{path} has failed", component):
            connection.execute(content)


def run_alembic(migration: Migration, url: str, component: str) -> None:
    """Upgrades with Alembic, whose ``env.py`` is given the copy as ``sqlalchemy.url``.

    Raises ConfigurationError for one that takes its connection from elsewhere: it would migrate whatever that leads to.
    """
    from alembic import command
    from alembic.config import Config

    assert migration.alembic  # noqa: S101  the caller looked
    _read(migration.alembic)
    config = Config(migration.alembic)
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    config.attributes["configure_logger"] = False
    environment = Path(config.get_main_option("script_location") or "") / "env.py"
    if not _LET_IN.search(_read(str(environment)).decode(errors="replace")):
        raise ConfigurationError(
            f"{environment} takes its connection neither from sqlalchemy.url nor from the configuration's attributes",
            component=component,
            state="It was not run: it would migrate whatever it names itself",
            next_step="Have it read config.get_main_option('sqlalchemy.url')",
        )
    with _alembic, _failing(f"Alembic has failed to upgrade to {migration.revision}", component):
        command.upgrade(config, migration.revision)


def _parts(migration: Migration) -> Iterator[bytes]:
    for path in migration.sql:
        yield _read(path)
    if migration.function:
        yield inspect.getsource(inspect.getmodule(_function(migration.function)) or object).encode()
    if migration.alembic:
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        _read(migration.alembic)
        script = ScriptDirectory.from_config(Config(migration.alembic))
        for revision in script.iterate_revisions(migration.revision, "base"):
            yield Path(revision.path).read_bytes()


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"The migration's file {path} cannot be read: {error.strerror}",
            state="The migration was not run",
            next_step="Give a path that the worker can read",
        ) from error


def _function(name: str) -> Callable[[psycopg.Connection[Any]], object]:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"The migration {name} cannot be imported: {error}",
            state="The migration was not run",
            next_step="Write it as module:function, of a module that the worker can import",
        ) from error
    call: Callable[[psycopg.Connection[Any]], object] = found
    return call


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
