"""Rehearses a migration outside any scheduler: what operator and command line share.

A store for the time of the rehearsal, workers in processes of their own, and the connection of the copies; the rest is core's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from rollback_provider.core.component import Component, Connection, Progress
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.model import Policy
from rollback_provider.core.rehearsal.copies import Place
from rollback_provider.core.rehearsal.drills import DRILLS
from rollback_provider.core.rehearsal.model import Migration, Rehearsal, Size
from rollback_provider.core.rehearsal.run import rehearse
from rollback_provider.core.repository import Store

ALL_DRILLS = tuple(DRILLS)
"""Names of all drills."""


def run_rehearsal(
    store: Store,
    snapshot_id: str,
    migration: Any,
    progress: Progress,
    *,
    actor: str,
    scratch: Connection | None = None,
    size: Size = "full",
    rows: int = 1000,
    component: str | None = None,
    drills: Collection[str] = (),
    runs: int = 1,
    shares: Collection[float] = (),
    policy: Policy | None = None,
    seed: int = 1,
    watch: Callable[[Component], None] = lambda _: None,
) -> Rehearsal:
    """Rehearses and keeps the record in the store. The original is not reached.

    :param migration: a :class:`~rollback_provider.core.rehearsal.model.Migration`, or its fields as a mapping
    :param scratch: leads to the server for the copies, and names the database that is made and dropped; None for a server of its own
    :param rows: of each table, with the size ``sampled``

    Raises ConfigurationError, and what :func:`~rollback_provider.core.rehearsal.run.rehearse` raises.
    """
    from rollback_provider.rehearsal.worker import execute_apart
    from rollback_provider.store import open_store

    source = parse_migration(migration)
    if rows < 1:
        raise ConfigurationError("A sample has at least one row of each table")
    digest = digest_of(source)
    with TemporaryDirectory(prefix="rollback-rehearsal-store-", ignore_cleanup_errors=True) as directory:
        workspace = open_store((Path(directory) / "store").as_uri())
        return rehearse(
            store,
            snapshot_id,
            source,
            progress,
            migration_digest=digest,
            place=Place(scratch, size, rows),
            workspace=workspace,
            apart=lambda rollback_id, copy, entry: execute_apart(workspace.url, rollback_id, copy.connection, entry),
            actor=actor,
            component=component,
            drills=drills,
            runs=runs,
            shares=shares,
            policy=policy,
            seed=seed,
            watch=watch,
        )


def parse_migration(value: Any) -> Migration:
    """A migration from plain data. Raises ConfigurationError."""
    try:
        return value if isinstance(value, Migration) else Migration.model_validate(value)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}".strip() for e in error.errors())
        raise ConfigurationError(
            f"The migration to rehearse is malformed: {problems}",
            next_step="Write {'sql': ['migration.sql']}, {'function': 'module:function'} or {'alembic': 'alembic.ini', 'quiet': True}",
        ) from error


def digest_of(migration: Any) -> str:
    """What tells this migration's text from any other. Raises ConfigurationError."""
    from rollback_provider.clients.migration_source import digest_of_migration

    return digest_of_migration(parse_migration(migration))
