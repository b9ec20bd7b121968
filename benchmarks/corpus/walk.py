"""The walk: fill, snapshot, upgrade by one, roll back, compare, upgrade again; revision by revision."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import psycopg
from psycopg import sql

from benchmarks.corpus.compare import State, row_differences, schema_differences, state_of
from benchmarks.corpus.filler import fill
from benchmarks.corpus.project import Driver, MigrationFailedError, Project
from rollback_provider.components.postgres.embedded import Server
from rollback_provider.core.capturer import take_checkpoint, take_snapshot
from rollback_provider.core.executor import execute
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.planner import generate
from rollback_provider.core.repository import Store
from rollback_provider.core.verifier import verify
from rollback_provider.store import open_store

ACTOR = "corpus"
_TABLES = """
    select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relname <> all (%s)
"""
_HISTORIES = ("alembic_version", "django_migrations")
"""Tables that hold which migrations were applied: no row of them is made up."""


@dataclass
class Downgrade:
    """What came of the project's own downgrade, on a copy.

    :param error: why the downgrade or the upgrade after it failed; empty where both ran
    """

    schema: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    error: str = ""
    again: str = ""

    @property
    def passed(self) -> bool:
        """Whether schema and rows are as they were."""
        return not (self.error or self.schema or self.rows)


@dataclass
class Result:
    """What came of one revision.

    :param schema: differences between the schema before the upgrade and after the rollback
    :param rows: the same for rows
    :param error: what the rollback raised, or which checks of its own did not pass
    :param again: why the upgrade could not be repeated, or how its schema differs from the first time
    :param seconds: of snapshot, rollback and verification together
    :param empty: whether it was walked without rows, because the project's own migration does not take those that were made up
    """

    revision: str
    schema: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    error: str = ""
    again: list[str] = field(default_factory=list)
    seconds: float = 0.0
    empty: bool = False
    downgrade: Downgrade | None = None

    @property
    def passed(self) -> bool:
        """Whether all is as it was, says so itself, and the way forward is open."""
        return not (self.error or self.schema or self.rows or self.again)


class Walk:
    """Walks the migrations of one project through the database ``corpus_<project>``.

    :param stores: URL below which each revision gets a store of its own: a failed rollback keeps its lock
    :param checkpoint: take a checkpoint after each upgrade; without it every change is ambiguous, and restored
    :param downgrades: try the project's own downgrade too
    """

    def __init__(
        self, server: Server, driver: Driver, project: Project, stores: str, *, checkpoint: bool, downgrades: bool
    ) -> None:
        self._server = server
        self._driver = driver
        self._project = project
        self._stores = stores
        self._checkpoint = checkpoint
        self._downgrades = downgrades
        self._database = f"corpus_{project.name}"
        self._copy = f"{self._database}_copy"
        self._url = server.url(self._database, "postgresql+psycopg2")

    def run(self, only: Collection[str] = ()) -> Iterator[Result]:
        """Walks the revisions in order and rolls each back; or those of `only`, up to the last of them.

        Where a rollback fails the walk goes on from a copy taken before, and where a migration fails with the rows that were made up, from
        one without rows. Raises ValueError for an unknown revision, MigrationFailedError where a migration fails without rows, too.
        """
        self._server.create(self._database)
        self._driver.call("create", url=self._url)
        revisions: Sequence[str] = self._driver.call("revisions")
        if unknown := set(only) - set(revisions):
            raise ValueError(f"{self._project.name} has no revision {', '.join(sorted(unknown))}")
        previous = "base"
        last = max((revisions.index(revision) for revision in only), default=len(revisions) - 1)
        for revision in revisions[: last + 1]:
            with psycopg.connect(self._server.dsn(self._database), autocommit=True) as connection:
                random = Random(revision)
                fill(connection, self._project.values, random, leave=_HISTORIES)
            if only and revision not in only:
                self._upgrade(revision)
            else:
                yield self._visit(revision, previous)
            previous = revision
        self._server.drop(self._database)

    def _visit(self, revision: str, previous: str, *, empty: bool = False) -> Result:
        result = Result(revision, empty=empty)
        before = state_of(self._server, self._database)
        backup = f"{self._database}_before"
        self._server.create(backup, template=self._database)
        store, progress = open_store(f"{self._stores}/{revision}"), Silent()
        migrated = None
        spec = ComponentSpec(kind="postgres", name=self._project.name, connection=self._database)
        started = time.monotonic()
        try:
            snapshot = take_snapshot(store, revision, [spec], self._server.resolve, progress, actor=ACTOR)
            result.seconds += time.monotonic() - started
            try:
                self._upgrade(revision)
            except MigrationFailedError:
                if empty:
                    raise
                self._server.create(self._database, template=backup)
                self._empty()
                return self._visit(revision, previous, empty=True)
            migrated = state_of(self._server, self._database)
            if self._downgrades:
                result.downgrade = self._own_downgrade(revision, previous, before)
            started = time.monotonic()
            self._roll_back(store, snapshot.id, result)
            result.seconds += time.monotonic() - started
        except MigrationFailedError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug of ours at one revision is a result, and the walk goes on
            result.error = f"{type(error).__name__}: {error}"
        after = state_of(self._server, self._database)
        result.schema = schema_differences(before, after)
        result.rows = row_differences(before, after)
        try:
            self._upgrade(revision)
            if migrated:
                result.again = schema_differences(migrated, state_of(self._server, self._database))
        except MigrationFailedError as error:
            result.again = [str(error)]
        if not result.passed:
            self._server.create(self._database, template=backup)
            self._upgrade(revision)
        self._server.drop(backup)
        return result

    def _roll_back(self, store: Store, snapshot_id: str, result: Result) -> None:
        resolve, progress = self._server.resolve, Silent()
        if self._checkpoint:
            take_checkpoint(store, snapshot_id, resolve, progress, actor=ACTOR)
        plan = generate(store, snapshot_id, resolve, progress, actor=ACTOR)
        execute(store, plan.rollback_id, resolve, progress, actor=ACTOR)
        record = verify(store, plan.rollback_id, resolve, progress, actor=ACTOR)
        if record.execution.status != "verified":
            checks = [c for c in record.execution.verification.checks if c.status not in {"passed", "warning"}]
            result.error = "; ".join(f"{c.name} {c.scope} {c.status}: {c.detail} {c.differences}" for c in checks)

    def _own_downgrade(self, revision: str, previous: str, before: State) -> Downgrade:
        self._server.create(self._copy, template=self._database)
        url = self._server.url(self._copy, "postgresql+psycopg2")
        result = Downgrade()
        try:
            self._driver.call("downgrade", url=url, revision=previous)
        except MigrationFailedError as error:
            result.error = str(error)
        else:
            after = state_of(self._server, self._copy)
            result.schema, result.rows = schema_differences(before, after), row_differences(before, after)
            try:
                self._driver.call("upgrade", url=url, revision=revision)
            except MigrationFailedError as error:
                result.again = str(error)
        self._server.drop(self._copy)
        return result

    def _empty(self) -> None:
        with psycopg.connect(self._server.dsn(self._database), autocommit=True) as connection:
            tables = connection.execute(_TABLES, [list(_HISTORIES)]).fetchall()
            connection.execute(
                sql.SQL("truncate {} cascade").format(sql.SQL(", ").join(sql.Identifier(*name) for name in tables))
            )

    def _upgrade(self, revision: str) -> None:
        self._driver.call("upgrade", url=self._url, revision=revision)


class Silent:
    """Progress that nobody watches."""

    def update(self, what: str, *, done: float, total: float | None = None, unit: str = "rows") -> None:
        """Ignores an update."""

    def message(self, text: str) -> None:
        """Ignores a message."""
