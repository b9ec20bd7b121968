"""Reads the catalog: one query for each kind of object of which there are any, whatever their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row, tuple_row

from rollback_provider.components.postgres.catalog.dependencies import Dependencies
from rollback_provider.components.postgres.catalog.entry import Entry, Ref, to_ref
from rollback_provider.components.postgres.catalog.kinds import KINDS
from rollback_provider.components.postgres.catalog.kinds.base import Kind, Naming
from rollback_provider.components.postgres.catalog.model import Catalog
from rollback_provider.components.postgres.catalog.soft_drops import without_soft_drops
from rollback_provider.components.postgres.reserved import TRACKING_SCHEMA
from rollback_provider.core.errors import ConfigurationError

_SERVER = """
    select (select system_identifier::text from pg_control_system()), d.oid::int8,
        substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
        current_setting('server_version_num')::int, current_user::text, exists (
            select from pg_roles r where pg_has_role(r.oid, 'member') and (r.rolsuper and r.rolname = current_user
                or r.rolname in ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')))
    from pg_database d where datname = current_database()"""
"""Managed services let members of a role of theirs do what elsewhere takes a superuser."""
_SCHEMAS = "select oid::int8, nspname from pg_namespace where nspname !~ '^pg_' and nspname <> all(%s)"
_CASTS = "select format_type(castsource, null), format_type(casttarget, null), castcontext::text from pg_cast"
_HOMES = "select distinct relnamespace::int8 from pg_class where oid = any(%s)"


def capture(connection: Connection[Any], schemas: Sequence[str] | None, *, since: Catalog | None = None) -> Catalog:
    """Reads the catalog as the caller's transaction sees it; needs no privilege beyond CONNECT.

    The caller has set ``search_path = pg_catalog``.

    :param schemas: names of the schemas to look at; None for all but the system's
    :param since: an earlier catalog of the same schemas: they are found again under other names, one that is gone is no error, and
        tables that have left for another schema are followed there, and what is soft-dropped since is there under its reserved name
    :raises ConfigurationError: for a schema that does not exist
    """
    with connection.cursor(row_factory=tuple_row) as cursor:
        found = cursor.execute(_SERVER).fetchone()
        system, database, timeline, version, role, superuser = found or ("", 0, "", 0, "", False)
        existing = {name: oid for oid, name in cursor.execute(_SCHEMAS, [["information_schema", TRACKING_SCHEMA]])}
        casts = tuple(cursor.execute(_CASTS).fetchall())
        followed = since if since and (since.system_identifier, since.database) == (system, database) else None
        scope = _scope(existing, schemas, since, followed)
        visited: set[int] = set()
        if followed and schemas is not None:
            oids = [
                entry.ref[1]
                for entry in followed.entries
                if entry.kind in {"table", "sequence", "view", "materialized view"}
            ]
            visited = {oid for (oid,) in cursor.execute(_HOMES, [oids])} - scope
        dependencies = Dependencies.read(connection)
    entries = [
        entry
        for kind in _present(connection)
        for entry in _read(connection, kind, version, sorted(scope | visited))
        if not dependencies.is_generated(entry)
    ]
    if followed and visited:
        entries = _without_strangers(entries, visited, existing, followed)
    entries = without_soft_drops(entries, followed.by_ref if followed else ())
    resolved, outside = dependencies.resolve(entries)
    return Catalog(
        system_identifier=system,
        database=database,
        timeline=timeline,
        server_version=version,
        role=role,
        superuser=superuser,
        entries=resolved,
        outside=_describe(connection, outside),
        casts=casts,
    )


def _scope(
    existing: dict[str, int], schemas: Sequence[str] | None, since: Catalog | None, followed: Catalog | None
) -> set[int]:
    if schemas is None:
        return set(existing.values())
    unknown = [name for name in schemas if name not in existing]
    if unknown and since is None:
        raise ConfigurationError(
            f"There is no schema {', '.join(map(repr, unknown))}",
            next_step=f"Name schemas of this database: {', '.join(sorted(existing))}",
        )
    scope = {existing[name] for name in schemas if name in existing}
    if followed:
        scope |= {entry.ref[1] for entry in followed.entries if entry.kind == "schema"} & set(existing.values())
    return scope


def _present(connection: Connection[Any]) -> list[Kind]:
    """Kinds of which there may be objects. Most databases have few, and to ask for all costs more than the answers."""
    asked = {kind.name: kind.held_in for kind in KINDS.values() if kind.held_in}
    exist = ", ".join(f"exists (select from {rows})" for rows in asked.values())
    with connection.cursor(row_factory=tuple_row) as cursor:
        found = cursor.execute(f"select {exist}".encode()).fetchone() or ()
    absent = {name for name, there in zip(asked, found, strict=True) if not there}
    return [kind for kind in KINDS.values() if kind.name not in absent]


def _read(connection: Connection[Any], kind: Kind, version: int, schemas: list[int]) -> list[Entry]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(kind.query(version), {"schemas": schemas})
        return [_entry(kind, row) for row in rows]


def _entry(kind: Kind, row: dict[str, Any]) -> Entry:
    parent, refs = row.get("parent"), row.get("refs")
    return Entry(
        kind=kind.name,
        ref=(kind.classid, int(row["oid"]), row.get("sub", 0)),
        name=tuple(row["name"]),
        parent=to_ref(parent) if parent else None,
        facts=row.get("facts") or {},
        definition=row.get("definition") or "",
        stored=row.get("stored") or "",
        refs={key: tuple(to_ref(ref) for ref in items) for key, items in refs.items()} if refs else {},
        extra=row.get("extra") or {},
    )


def _without_strangers(
    entries: list[Entry], visited: set[int], existing: dict[str, int], followed: Catalog
) -> list[Entry]:
    """In schemas that are looked at only because tables have gone there, nothing else is ours."""
    names = {name for name, oid in existing.items() if oid in visited}
    known = followed.by_ref

    def ours(entry: Entry) -> bool:
        whole = (*(entry.parent or entry.ref)[:2], 0)
        elsewhere = entry.schema not in names or (
            entry.kind != "schema" and KINDS[entry.kind].naming is Naming.DATABASE
        )
        return elsewhere or (entry.kind != "schema" and (entry.ref in known or whole in known))

    return [entry for entry in entries if ours(entry)]


def _describe(connection: Connection[Any], outside: list[tuple[Ref, Ref]]) -> tuple[tuple[Ref, str], ...]:
    if not outside:
        return ()
    dependents = sorted({dependent for _, dependent in outside})
    columns = [list(column) for column in zip(*dependents, strict=True)]
    query = """
        select c::int8, o::int8, s, pg_describe_object(c, o, s) from unnest(%s::oid[], %s::oid[], %s::int[]) as described(c, o, s)"""
    with connection.cursor(row_factory=tuple_row) as cursor:
        names = {(c, o, s): text for c, o, s, text in cursor.execute(query, columns)}
    return tuple((needed, names[dependent]) for needed, dependent in sorted(outside) if names.get(dependent))
