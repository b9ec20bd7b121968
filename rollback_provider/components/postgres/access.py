"""What must be allowed, and what must not be going on, before a plan or a snapshot is made. Each problem is named with its remedy."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from rollback_provider.components.postgres.catalog import Catalog
from rollback_provider.components.postgres.missing import Missing, some
from rollback_provider.components.postgres.reserved import TRACKING_SCHEMA
from rollback_provider.components.postgres.reversal import Reversal
from rollback_provider.components.postgres.session import Session
from rollback_provider.core.base import Json
from rollback_provider.core.component import Progress
from rollback_provider.core.errors import MigrationRunningError, PermissionDeniedError


def tables_in(session: Session, schemas: Sequence[str] | None) -> dict[int, sql.Identifier]:
    """Tables that hold rows, in these schemas or in all of the user's: names by oid."""
    rows = session.execute(
        "select c.oid, n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> all(%(others)s)"
        " and (%(schemas)s::text[] is null or n.nspname = any(%(schemas)s::text[])) order by 2, 3",
        {"schemas": list(schemas) if schemas is not None else None, "others": ["information_schema", TRACKING_SCHEMA]},
    ).fetchall()
    return {oid: sql.Identifier(schema, name) for oid, schema, name in rows}


def check_readable(session: Session, tables: Sequence[int], schemas: Sequence[str] | None, component: str) -> None:
    """Raises PermissionDeniedError with the GRANTs that are missing to read `tables`, given by oid, and the sequences of these schemas."""
    sequences = session.execute(
        "select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'S' and c.relpersistence <> 't'"
        " and n.nspname !~ '^pg_' and n.nspname <> all(%(others)s)"
        " and (%(schemas)s::text[] is null or n.nspname = any(%(schemas)s::text[]))",
        {"schemas": list(schemas) if schemas is not None else None, "others": ["information_schema", TRACKING_SCHEMA]},
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
        f"{len(rows)} of {len(oids)} {kind.lower()}s cannot be read: {some([name for name, *_ in rows])}",
        component=component,
        next_step=some(grants, "; "),
    )


def check_allowed(session: Session, reversal: Reversal, actions: Sequence[Json], component: str) -> None:
    """Raises PermissionDeniedError naming all that the role may not do of a plan, with the GRANTs that are missing.

    :param actions: what the plan does to rows and sequences, among others
    """
    missing = Missing(session)
    rights = reversal.rights
    missing.owners(rights.owned)
    missing.creating(rights.creating)
    missing.giving(rights.given)
    missing.referring(rights.referenced)
    now = {change.then.oid: change.now for change in reversal.tables}
    written = {
        action["table"]["oid"]: action for action in actions if action["do"] in {"merge", "refill"} and action["rows"]
    }
    tables = [(now[oid], action) for oid, action in written.items() if oid in now]
    missing.writing([table for table, action in tables if not _owning(action)])
    missing.owning([table for table, action in tables if _owning(action)])
    missing.setting([name for action in actions if action["do"] == "sequences" for name in action["values"]])
    if missing.problems:
        raise PermissionDeniedError(
            "; ".join(missing.problems), component=component, next_step=some(list(missing.grants), "; ")
        )


def tell_owners(session: Session, catalog: Catalog, component: str, progress: Progress) -> None:
    """Says which objects of a snapshot the role could not take back, should a migration change them."""
    missing = Missing(session)
    missing.owners([(entry.label, (entry.facts["owner"],)) for entry in catalog.entries if "owner" in entry.facts])
    for problem in missing.problems:
        names = problem.partition(": ")[2]
        progress.message(
            f"{component}: these belong to others, so what a migration changes of them could not be taken back by this role: {names}. "
            f"{some(list(missing.grants), '; ')}"
        )


def _owning(action: Json) -> bool:
    """Whether rows can only be written by the table's owner: triggers are disabled, or it is locked."""
    return bool(action["table"]["row_triggers"]) or action["op"] == "reload"


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
