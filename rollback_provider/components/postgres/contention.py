"""Who is in the way of a migration: holders of locks that it would wait for, and long transactions on its tables."""

from __future__ import annotations

from collections.abc import Sequence

from rollback_provider.components.postgres.session import Session
from rollback_provider.core.errors import PermissionDeniedError

_QUERY = """
select l.pid, a.usename, a.application_name, string_agg(distinct c.oid::regclass::text, ', '),
    (extract(epoch from clock_timestamp() - a.xact_start))::float8,
    bool_or(not l.granted), bool_or(l.granted and l.mode not in ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')),
    a.pid is not null and a.backend_type is null
from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
    left join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'relation' and l.pid is distinct from pg_backend_pid() and c.relkind in ('r', 'p', 'm', 'S')
    and l.database = (select oid from pg_database where datname = current_database())
    and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and (%(schemas)s::text[] is null or n.nspname = any(%(schemas)s::text[]))
    and (l.pid is null or a.backend_type is null or a.backend_type = 'client backend')
group by l.pid, a.pid, a.usename, a.application_name, a.xact_start, a.backend_type
having l.pid is null or a.pid is not null
order by a.xact_start nulls first
"""


def contention(session: Session, schemas: Sequence[str] | None, longest: float, component: str) -> list[str]:
    """One sentence for each, the oldest first; workers of autovacuum are left out, because they give way.

    :param longest: seconds that a transaction on the tables may be open

    Raises PermissionDeniedError where others' transactions are hidden from this user.
    """
    rows = session.execute(_QUERY, {"schemas": list(schemas) if schemas is not None else None}).fetchall()
    if any(hidden for *_, hidden in rows):
        raise PermissionDeniedError(
            "How long other users' transactions are open is hidden",
            component=component,
            next_step="GRANT pg_read_all_stats to the user of the connection",
        )
    found = []
    for pid, user, application, tables, age, waits, strong, _ in rows:
        if pid is None:
            found.append(f"A prepared transaction holds locks on {tables}: commit or roll it back")
        elif waits or strong or age > longest:
            doing = "waits for a lock on" if waits else "holds a strong lock on" if strong else "has used"
            who = f"Session {pid} (user {user}, application {application or 'unnamed'})"
            found.append(f"{who} {doing} {tables}; its transaction is {age:.1f} s old")
    return found
