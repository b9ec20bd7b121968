"""The user's migration as it lies in files: what it consists of, and the digest that tells it from any other."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.rehearsal.model import Migration


def digest_of_migration(migration: Migration) -> str:
    """sha256 of all that the migration consists of: its files, its revisions, or the source of its function's module, and how it is run.

    Where its files lie does not matter. Raises ConfigurationError where a part of it is missing.
    """
    how = {key: value for key, value in migration.to_json().items() if key not in {"sql", "alembic"}}
    hashed = hashlib.sha256(json.dumps(how, sort_keys=True).encode())
    for content in _parts(migration):
        hashed.update(hashlib.sha256(content).digest())
    return hashed.hexdigest()


def _parts(migration: Migration) -> Iterator[bytes]:
    for path in migration.sql:
        yield read_source(path)
    if migration.function:
        yield inspect.getsource(inspect.getmodule(function_of(migration.function)) or object).encode()
    if migration.alembic:
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        read_source(migration.alembic)
        script = ScriptDirectory.from_config(Config(migration.alembic))
        for revision in script.iterate_revisions(migration.revision, "base"):
            yield Path(revision.path).read_bytes()


def read_source(path: str) -> bytes:
    """A file of the migration. Raises ConfigurationError."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"The migration's file {path} cannot be read: {error.strerror}",
            state="The migration was not run",
            next_step="Give a path that the worker can read",
        ) from error


def function_of(name: str) -> Callable[[Any], object]:
    """The function that ``module:function`` names. Raises ConfigurationError."""
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"The migration {name} cannot be imported: {error}",
            state="The migration was not run",
            next_step="Write it as module:function, of a module that the worker can import",
        ) from error
    call: Callable[[Any], object] = found
    return call
