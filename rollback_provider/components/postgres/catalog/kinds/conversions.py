"""Conversions between encodings."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_CONVERSION, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Naming, Scene
from rollback_provider.components.postgres.catalog.kinds.defined import Defined
from rollback_provider.components.postgres.catalog.sql_text import comment_on, stored_values


class Conversions(Defined):
    """Conversions between encodings."""

    name = "conversion"
    classid = CLASS_CONVERSION
    held_in = "pg_conversion where oid >= 16384"
    keyword = "CONVERSION"
    naming = Naming.SCHEMA
    rank = 56

    def query(self, version: int) -> str:
        return f"""
            select c.oid, array[n.nspname, c.conname] as name,
                json_strip_nulls(json_build_object('owner', pg_get_userbyid(c.conowner), 'comment', comment.description,
                    'default', nullif(c.condefault, false))) as facts,
                format('FOR %%L TO %%L FROM %%s', pg_encoding_to_char(c.conforencoding), pg_encoding_to_char(c.contoencoding),
                    c.conproc) as definition,
                {stored_values("c.conforencoding", "c.contoencoding", "c.conproc::oid")} as stored
            from pg_conversion c join pg_namespace n on n.oid = c.connamespace {comment_on(CLASS_CONVERSION, "c.oid")}
            where c.connamespace = any(%(schemas)s)"""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        default = "DEFAULT " if "default" in then.facts else ""
        yield self.action(then, f"CREATE {default}{self.target(then)} {then.definition}")
