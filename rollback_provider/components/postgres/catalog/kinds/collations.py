"""Collations."""

from __future__ import annotations

from rollback_provider.components.postgres.catalog.entry import CLASS_COLLATION
from rollback_provider.components.postgres.catalog.kinds.base import Naming
from rollback_provider.components.postgres.catalog.kinds.defined import Defined
from rollback_provider.components.postgres.catalog.sql_text import comment_on, stored_row


class Collations(Defined):
    """Collations of this database's encoding. Their version is the operating system's, and no part of the schema."""

    name = "collation"
    classid = CLASS_COLLATION
    held_in = "pg_collation where oid >= 16384"
    keyword = "COLLATION"
    naming = Naming.SCHEMA
    swapped = True
    rank = 5
    droppable_late = True

    def query(self, version: int) -> str:
        if version >= 170000:
            locale = "c.colllocale"
        elif version >= 150000:
            locale = "c.colliculocale"
        else:
            locale = "case c.collprovider when 'i' then c.collcollate end"
        rules = "c.collicurules" if version >= 160000 else "null"
        return f"""
            select c.oid, array[n.nspname, c.collname] as name,
                json_strip_nulls(json_build_object('owner', pg_get_userbyid(c.collowner), 'comment', comment.description)) as facts,
                '(' || concat_ws(', ', 'PROVIDER = ' || case c.collprovider when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end,
                    case when not c.collisdeterministic then 'DETERMINISTIC = false' end,
                    'LOCALE = ' || quote_literal({locale}), 'RULES = ' || quote_literal({rules}),
                    case c.collprovider when 'c' then
                        format('LC_COLLATE = %%L, LC_CTYPE = %%L', c.collcollate, c.collctype) end) || ')' as definition,
                {stored_row("c", "collname", "collnamespace", "collowner", "collversion")} as stored
            from pg_collation c join pg_namespace n on n.oid = c.collnamespace {comment_on(CLASS_COLLATION, "c.oid")}
            where c.collencoding in (-1, pg_char_to_encoding(getdatabaseencoding())) and c.collnamespace = any(%(schemas)s)"""
