"""The triggers that log what a migration writes, and the schema of ours in which they and their log live while it runs.

A row trigger on every table logs old and new row where the session bears the mark, a setting that names the snapshot. Nothing is queued or
copied for a session without it. The triggers fire whatever ``session_replication_role`` says, and whoever disables and enables them
leaves them in another state than they were made in, which is noticed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from psycopg import sql

from rollback_provider.components.postgres.reserved import SNAPSHOT_SETTING, TRACKING_SCHEMA
from rollback_provider.components.postgres.session import LOCK_TIMEOUT_MS, SETTINGS, Session, patiently
from rollback_provider.core.errors import MigrationRunningError, PermissionDeniedError

_SCHEMA = sql.Identifier(TRACKING_SCHEMA)
_ROW = "rollback_tracking_row"
_TRUNCATE = "rollback_tracking_truncate"
_TEXT = ("search_path", "DateStyle", "IntervalStyle", "TimeZone", "extra_float_digits", "bytea_output")
"""Settings on which the text of a value depends; the migration's sessions have their own."""
INTACT = "intact"
_SESSION_SECONDS = 5.0
"""How long a session of a migration that was killed may take to end."""

_WRITES = """
create table {schema}.tables (relation oid primary key, name text not null, whole boolean not null, ended text);
create table {schema}.writes (
    number bigint generated always as identity, xid xid8 not null default pg_current_xact_id(), relation oid not null,
    columns int2[] not null, old text, new text, marked boolean not null,
    pid int not null default pg_backend_pid(), at timestamptz not null default now())"""

_ROW_FUNCTION = """
create function {schema}.log_row() returns trigger language plpgsql security definer {settings} as $$
begin
    insert into {schema}.writes (relation, columns, old, new, marked) values (
        tg_relid,
        array(select attnum from pg_attribute where attrelid = tg_relid and attnum > 0 and not attisdropped order by attnum),
        case when tg_op <> 'INSERT' then old::text end,
        case when tg_op <> 'DELETE' then new::text end,
        coalesce(current_setting({setting}, true) = tg_argv[0], false));
    return null;
end $$"""

_TRUNCATE_FUNCTION = """
create function {schema}.log_truncate() returns trigger language plpgsql security definer {settings} set row_security = off as $$
begin
    execute format('insert into {schema}.writes (relation, columns, old, marked)'
        ' select $1, array(select attnum from pg_attribute where attrelid = $1 and attnum > 0 and not attisdropped order by attnum),'
        ' t::text, $2 from only %I.%I t', tg_table_schema, tg_table_name)
    using tg_relid, coalesce(current_setting({setting}, true) = tg_argv[0], false);
    return null;
end $$"""


@dataclass(frozen=True)
class Tracked:
    """A table that is or was tracked.

    :param whole: whether writes of all sessions are logged
    :param ended: :data:`INTACT`, or why its triggers cannot be relied upon; None while they are there
    """

    oid: int
    name: str
    whole: bool
    ended: str | None


def mark_of(session: Session) -> str | None:
    """The snapshot for whose migration the database is tracked, or was, as long as the log has not been read; None for none."""
    row = session.execute(
        "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = %s", [TRACKING_SCHEMA]
    ).fetchone()
    return str(json.loads(row[0] or "{}").get("snapshot", "")) if row else None


def check_trackable(session: Session, tables: Collection[int], component: str) -> None:
    """Raises PermissionDeniedError with what the role lacks."""
    rows = session.execute(
        "select c.oid::regclass::text, c.relowner::regrole::text, current_user::regrole::text from pg_class c"
        " where c.oid = any(%s::oid[]) and not pg_has_role(c.relowner, 'usage') order by 1",
        [list(tables)],
    ).fetchall()
    grants = list(dict.fromkeys(f"GRANT {owner} TO {role}" for _, owner, role in rows))
    database = session.execute(
        "select quote_ident(current_database()), current_user::regrole::text"
        " where not has_database_privilege(current_database(), 'create')"
    ).fetchone()
    if database:
        grants.append(f"GRANT CREATE ON DATABASE {database[0]} TO {database[1]}")
    if grants:
        raise PermissionDeniedError(
            f"Triggers can only be put on tables by their owner, with a schema for the log: {len(rows)} tables are others'",
            component=component,
            state="Nothing is tracked; do not migrate yet",
            next_step="; ".join(grants),
        )


def install(
    session: Session, tables: dict[int, sql.Identifier], whole: Collection[int], mark: str, component: str
) -> None:
    """Makes schema and log in one transaction, then the triggers table by table. Raises BusyError; what was made then stays.

    :param tables: names by oid
    :param whole: of these the writes of all sessions are logged
    :param mark: what the setting says in the migration's sessions
    """
    settings = sql.SQL(" ").join(
        sql.SQL("set {} = {}").format(sql.Identifier(name), sql.Literal(SETTINGS[name])) for name in _TEXT
    )
    parts = {"schema": _SCHEMA, "settings": settings, "setting": sql.Literal(SNAPSHOT_SETTING)}
    with session.transaction():
        session.execute(sql.SQL("create schema {}").format(_SCHEMA))
        for part in (_WRITES, _ROW_FUNCTION, _TRUNCATE_FUNCTION):
            session.execute(sql.SQL(part).format(**parts))
        described = json.dumps({"snapshot": mark, "what": "log of a migration's writes; goes with its checkpoint"})
        session.execute(sql.SQL("comment on schema {} is {}").format(_SCHEMA, sql.Literal(described)))
    for oid, name in tables.items():
        statement = _triggers(oid, name, mark, whole=oid in whole)
        patiently(lambda statement=statement: _locking(session, statement), session, component, threading.Event())  # type: ignore[misc]


def end(session: Session, component: str) -> list[Tracked]:
    """Drops the triggers that are still there, each with a note of whether it was as it was made; gives all that was tracked.

    Waits for each transaction that has written to a tracked table: afterwards the log is complete. Raises BusyError, and
    MigrationRunningError where a session of the migration is still there; again, it goes on.
    """
    _refuse_running(session, component)
    for table in tracked(session):
        if table.ended is None:
            patiently(lambda table=table: _end(session, table), session, component, threading.Event())  # type: ignore[misc]
    return tracked(session)


def _refuse_running(session: Session, component: str) -> None:
    deadline = time.monotonic() + _SESSION_SECONDS
    query = sql.SQL(
        "select distinct a.pid from {}.writes w join pg_stat_activity a on a.pid = w.pid and a.backend_start <= w.at"
        " where w.marked order by 1"
    ).format(_SCHEMA)
    while pids := [pid for (pid,) in session.execute(query).fetchall()]:
        if time.monotonic() > deadline:
            raise MigrationRunningError(
                f"Sessions of the migration are still connected: pid {', '.join(map(str, pids))}",
                component=component,
                state="They are tracked on",
                next_step=f"Let them finish, or end them: select pg_terminate_backend({pids[0]})",
            )
        time.sleep(0.1)


def tracked(session: Session) -> list[Tracked]:
    """All that is or was tracked."""
    rows = session.execute(
        sql.SQL("select relation, name, whole, ended from {}.tables order by name").format(_SCHEMA)
    ).fetchall()
    return [Tracked(*row) for row in rows]


def remove(session: Session, component: str) -> None:
    """Drops whatever is left: triggers, log, schema. No error where nothing is."""
    if mark_of(session) is None:
        return
    end(session, component)
    patiently(
        lambda: _locking(session, [sql.SQL("drop schema {} cascade").format(_SCHEMA)]),
        session,
        component,
        threading.Event(),
    )


def _triggers(oid: int, name: sql.Identifier, mark: str, *, whole: bool) -> Sequence[sql.Composed]:
    gate = sql.SQL("when (pg_catalog.current_setting({}, true) = {})").format(
        sql.Literal(SNAPSHOT_SETTING), sql.Literal(mark)
    )
    parts = {"table": name, "schema": _SCHEMA, "mark": sql.Literal(mark), "gate": sql.SQL("") if whole else gate}
    parts |= {"row": sql.Identifier(_ROW), "truncate": sql.Identifier(_TRUNCATE), "oid": sql.Literal(oid)}
    parts |= {"whole": sql.Literal(whole)}
    return [
        sql.SQL(text).format(**parts)
        for text in (
            (
                "create trigger {row} after insert or update or delete on {table} for each row {gate}"
                " execute function {schema}.log_row({mark})"
            ),
            (
                "create trigger {truncate} before truncate on {table} for each statement {gate}"
                " execute function {schema}.log_truncate({mark})"
            ),
            "alter table only {table} enable always trigger {row}, enable always trigger {truncate}",
            "insert into {schema}.tables select oid, oid::regclass::text, {whole} from pg_class where oid = {oid}",
        )
    ]


def _end(session: Session, table: Tracked) -> None:
    row = session.execute("select oid::regclass::text from pg_class where oid = %s", [table.oid]).fetchone()
    if row is None:
        _locking(session, [_note(table, INTACT)])
        return
    with session.transaction():
        _limit(session)
        name = sql.SQL(row[0])  # as the server quotes it
        session.execute(sql.SQL("lock table only {} in access exclusive mode").format(name))
        found = session.execute(
            "select tgname, tgenabled::text from pg_trigger where tgrelid = %s and tgname = any(%s)",
            [table.oid, [_ROW, _TRUNCATE]],
        ).fetchall()
        states: dict[str, str] = dict(found)
        ended = (
            INTACT if states == {_ROW: "A", _TRUNCATE: "A"} else "its triggers were dropped, or disabled for a while"
        )
        for trigger in states:
            session.execute(sql.SQL("drop trigger {} on {}").format(sql.Identifier(trigger), name))
        session.execute(_note(table, ended))


def _note(table: Tracked, ended: str) -> sql.Composed:
    return sql.SQL("update {}.tables set ended = {} where relation = {}").format(
        _SCHEMA, sql.Literal(ended), sql.Literal(table.oid)
    )


def _locking(session: Session, statements: Iterable[sql.Composed]) -> None:
    with session.transaction():
        _limit(session)
        for statement in statements:
            session.execute(statement)


def _limit(session: Session) -> None:
    session.execute(sql.SQL("set local lock_timeout = {}").format(LOCK_TIMEOUT_MS))
