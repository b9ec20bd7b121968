"""Casts."""

from __future__ import annotations

from rollback_provider.components.postgres.catalog.entry import CLASS_CAST, Entry
from rollback_provider.components.postgres.catalog.kinds.defined import Defined
from rollback_provider.components.postgres.catalog.sql_text import comment_on, stored_row


class Casts(Defined):
    """Casts of the database, whatever the schemas looked at."""

    name = "cast"
    classid = CLASS_CAST
    held_in = "pg_cast where oid >= 16384"
    keyword = "CAST"
    owned = False
    rank = 55

    def query(self, version: int) -> str:
        return f"""
            select c.oid, array[format_type(c.castsource, null), format_type(c.casttarget, null)] as name,
                json_strip_nulls(json_build_object('comment', comment.description)) as facts,
                concat(case c.castmethod when 'f' then 'WITH FUNCTION ' || c.castfunc::regprocedure when 'i' then 'WITH INOUT'
                    else 'WITHOUT FUNCTION' end, case c.castcontext when 'a' then ' AS ASSIGNMENT' when 'i' then ' AS IMPLICIT' end
                ) as definition, {stored_row("c")} as stored
            from pg_cast c {comment_on(CLASS_CAST, "c.oid")} where c.oid >= 16384"""

    def privileged(self, entry: Entry) -> bool:
        return entry.definition.startswith("WITHOUT FUNCTION")

    def address(self, name: tuple[str, ...]) -> str:
        return f"({name[0]} AS {name[1]})"
