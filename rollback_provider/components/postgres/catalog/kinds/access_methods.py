"""Access methods."""

from __future__ import annotations

from rollback_provider.components.postgres.catalog.entry import CLASS_ACCESS_METHOD, Entry
from rollback_provider.components.postgres.catalog.kinds.defined import Defined
from rollback_provider.components.postgres.catalog.sql_text import comment_on, stored_values


class AccessMethods(Defined):
    """Access methods of tables and indexes that no extension brought along."""

    name = "access method"
    classid = CLASS_ACCESS_METHOD
    held_in = "pg_am where oid >= 16384"
    keyword = "ACCESS METHOD"
    owned = False
    rank = 62

    def query(self, version: int) -> str:
        return f"""
            select a.oid, array[a.amname] as name, json_strip_nulls(json_build_object('comment', comment.description)) as facts,
                format('TYPE %%s HANDLER %%s', case a.amtype when 't' then 'TABLE' else 'INDEX' end, a.amhandler) as definition,
                {stored_values("a.amtype", "a.amhandler::oid")} as stored
            from pg_am a {comment_on(CLASS_ACCESS_METHOD, "a.oid")} where a.oid >= 16384"""

    def privileged(self, entry: Entry) -> bool:
        return True
