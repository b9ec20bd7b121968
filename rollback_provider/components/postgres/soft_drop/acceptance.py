"""What is soft-dropped in a database, by the records on the objects, and dropping it for good."""

from __future__ import annotations

import threading

from psycopg import sql

from rollback_provider.components.postgres.reserved import DropRecord, number_in
from rollback_provider.components.postgres.session import LOCK_TIMEOUT_MS, Session, exclusive, patiently
from rollback_provider.core.model import SoftDrop

_RECORDS = """
    with recursive records as (
        select * from pg_description where classoid = 'pg_class'::regclass and description like '{"softDrop"%'),
    family(root, oid) as (
        select objoid, objoid from records union select root, inhrelid from pg_inherits join family on inhparent = family.oid)
    select case when d.objsubid = 0 then 'table' else 'column' end,
        array_remove(array[n.nspname, c.relname, a.attname]::text[], null), d.description,
        case when d.objsubid = 0 then (select sum(pg_total_relation_size(f.oid))::bigint from family f where f.root = c.oid)
            else (select sum(greatest(l.reltuples, 0) * (1 - s.null_frac) * s.avg_width)::bigint from family f
                  join pg_class l on l.oid = f.oid join pg_namespace ln on ln.oid = l.relnamespace
                  join pg_stats s on s.schemaname = ln.nspname and s.tablename = l.relname and s.attname = a.attname and not s.inherited
                  where f.root = c.oid)
        end
    from records d join pg_class c on c.oid = d.objoid join pg_namespace n on n.oid = c.relnamespace
    left join pg_attribute a on d.objsubid > 0 and a.attrelid = c.oid and a.attnum = d.objsubid
    where c.relkind in ('r', 'p')"""


def soft_drops(session: Session, component: str) -> list[SoftDrop]:
    """All of the database, oldest first."""
    found = []
    for kind, address, comment, size in session.execute(_RECORDS).fetchall():
        record = DropRecord.from_comment(comment)
        if record is not None and number_in(address[-1]) is not None:
            found.append(
                SoftDrop(
                    component=component,
                    kind=kind,
                    address=tuple(address),
                    name=record.name,
                    time=record.time,
                    snapshot_id=record.snapshot,
                    size=size,
                )
            )
    return sorted(found, key=lambda drop: (drop.time, drop.address))


def drop_for_good(session: Session, drop: SoftDrop, cancelled: threading.Event) -> None:
    """Drops it in a transaction of its own; its reserved name is no other object's. Never CASCADE."""
    table = sql.Identifier(*drop.address[:2])
    statement = (
        sql.SQL("drop table if exists {}").format(table)
        if drop.kind == "table"
        else sql.SQL("alter table if exists {} drop column if exists {}").format(table, sql.Identifier(drop.address[2]))
    )

    def work() -> None:
        session.execute("begin")
        session.execute(sql.SQL("set local lock_timeout = {}").format(LOCK_TIMEOUT_MS))
        session.execute(statement)
        session.execute("commit")

    with exclusive(session, drop.component):
        patiently(work, session, drop.component, cancelled)
