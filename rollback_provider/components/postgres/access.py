"""What must be allowed, and what must not be going on, before a plan or a snapshot is made. Each problem is named with its remedy."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from rollback_provider.components.postgres.catalog.sql_text import ident
from rollback_provider.components.postgres.reversal import Reversal
from rollback_provider.components.postgres.session import Session
from rollback_provider.core.errors import MigrationRunningError, PermissionDeniedError

_SHOWN = 20


def tables_in(session: Session, schemas: Sequence[str] | None) -> dict[int, sql.Identifier]:
    """Tables that hold rows, in these schemas or in all of the user's: names by oid."""
    rows = session.execute(
        "select c.oid, n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
        " and (%(schemas)s::text[] is null or n.nspname = any(%(schemas)s::text[])) order by 2, 3",
        {"schemas": list(schemas) if schemas is not None else None},
    ).fetchall()
    return {oid: sql.Identifier(schema, name) for oid, schema, name in rows}


def check_readable(session: Session, tables: Sequence[int], schemas: Sequence[str] | None, component: str) -> None:
    """Raises PermissionDeniedError with the GRANTs that are missing to read `tables`, given by oid, and the sequences of these schemas."""
    sequences = session.execute(
        "select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'S' and c.relpersistence <> 't'"
        " and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
        " and (%(schemas)s::text[] is null or n.nspname = any(%(schemas)s::text[]))",
        {"schemas": list(schemas) if schemas is not None else None},
    ).fetchall()
    for kind, oids in (("TABLE", tables), ("SEQUENCE", [oid for (oid,) in sequences])):
        _check_readable(session, kind, oids, component)


def _check_readable(session: Session, kind: str, oids: Sequence[int], component: str) -> None:
    may = "has_table_privilege" if kind == "TABLE" else "has_sequence_privilege"
    rows = session.execute(
        "select c.oid::regclass::text, n.nspname, quote_ident(n.nspname), has_schema_privilege(n.oid, 'usage'), current_user::regrole::text"  # noqa: S608  one of two names
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = any(%s::oid[])"
        f" and not ({may}(c.oid, 'select') and has_schema_privilege(n.oid, 'usage')) order by 1".encode(),
        [list(oids)],
    ).fetchall()
    if not rows:
        return
    role, object_ = rows[0][4], "" if kind == "TABLE" else "SEQUENCE "
    grants = [f"GRANT USAGE ON SCHEMA {schema} TO {role}" for schema in dict.fromkeys(r[2] for r in rows if not r[3])]
    grants += [f"GRANT SELECT ON {object_}{name} TO {role}" for name, *_ in rows]
    raise PermissionDeniedError(
        f"{len(rows)} of {len(oids)} {kind.lower()}s cannot be read: {_some([name for name, *_ in rows])}",
        component=component,
        next_step=_some(grants, "; "),
    )


def check_owned(session: Session, reversal: Reversal, component: str) -> None:
    """Raises PermissionDeniedError naming the tables that would be altered and belong to somebody else."""
    if not reversal.prepare and not reversal.finish:
        return
    altered = {
        table.oid: ident(table.schema, table.name)
        for table in [*(change.now for change in reversal.tables), *reversal.dropped]
    }
    rows = session.execute(
        "select c.oid, c.relowner::regrole::text, current_user::regrole::text from pg_class c"
        " where c.oid = any(%s::oid[]) and not pg_has_role(c.relowner, 'usage') order by c.oid::regclass::text",
        [list(altered)],
    ).fetchall()
    named = [
        (altered[oid], owner, role)
        for oid, owner, role in rows
        if any(altered[oid] in statement.sql for statement in (*reversal.prepare, *reversal.finish))
    ]
    if named:
        grants = dict.fromkeys(f"GRANT {owner} TO {role}" for _, owner, role in named)
        raise PermissionDeniedError(
            f"Only their owner can change back: {_some([name for name, *_ in named])}",
            component=component,
            next_step=_some(list(grants), "; "),
        )


def refuse_running_migration(session: Session, schemas: Sequence[str] | None, component: str) -> None:
    """Raises MigrationRunningError where another session holds a lock that only DDL takes on a table in scope."""
    row = session.execute(
        "select a.pid, a.usename, a.application_name, l.mode, c.oid::regclass::text, date_trunc('second', now() - a.xact_start)::text"
        " from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace"
        " join pg_stat_activity a on a.pid = l.pid"
        " where l.locktype = 'relation' and l.granted and l.pid <> pg_backend_pid() and a.backend_type = 'client backend'"
        " and l.database = (select oid from pg_database where datname = current_database())"
        " and l.mode in ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')"
        " and c.relkind in ('r', 'p', 'v', 'm', 'i', 'S', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
        " and (%(schemas)s::text[] is null or n.nspname = any(%(schemas)s::text[])) order by a.xact_start limit 1",
        {"schemas": list(schemas) if schemas is not None else None},
    ).fetchone()
    if row:
        pid, user, application, mode, relation, age = row
        raise MigrationRunningError(
            f"Session {pid} (user {user}, application {application or 'unnamed'}) has held {mode} on {relation} for {age}: "
            "a migration is still running",
            component=component,
            next_step=f"Let it finish, or end it: select pg_terminate_backend({pid})",
        )


def _some(names: Sequence[str], separator: str = ", ") -> str:
    more = len(names) - _SHOWN
    return separator.join(names[:_SHOWN]) + (f"{separator}and {more} more" if more > 0 else "")
