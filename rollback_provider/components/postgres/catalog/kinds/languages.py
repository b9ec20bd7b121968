"""Procedural languages, and transforms between their values and those of types."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_LANGUAGE, CLASS_TRANSFORM, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Naming, Scene
from rollback_provider.components.postgres.catalog.kinds.defined import Defined
from rollback_provider.components.postgres.catalog.sql_text import (
    comment_on,
    function,
    grants_of,
    ident,
    stored_row,
    stored_values,
)


class Languages(Defined):
    """Procedural languages that no extension brought along."""

    name = "procedural language"
    classid = CLASS_LANGUAGE
    held_in = "pg_language where oid >= 16384"
    keyword = acl = "LANGUAGE"
    naming = Naming.DATABASE
    rank = 53

    def query(self, version: int) -> str:
        return f"""
            select l.oid, array[l.lanname] as name,
                json_strip_nulls(json_build_object('owner', pg_get_userbyid(l.lanowner), 'comment', comment.description,
                    'trusted', nullif(l.lanpltrusted, false), {grants_of("l.lanacl", "l", "l.lanowner")})) as facts,
                concat('HANDLER ', l.lanplcallfoid::regproc, ' INLINE ' || {function("l.laninline")},
                    ' VALIDATOR ' || {function("l.lanvalidator")}) as definition,
                {stored_row("l", "lanname", "lanowner", "lanacl", "lanpltrusted")} as stored
            from pg_language l {comment_on(CLASS_LANGUAGE, "l.oid")} where l.oid >= 16384"""

    def privileged(self, entry: Entry) -> bool:
        return True

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        trusted = "TRUSTED " if "trusted" in then.facts else ""
        yield self.action(then, f"CREATE {trusted}{self.target(then)} {then.definition}")


class Transforms(Defined):
    """Transforms between a type and a procedural language."""

    name = "transform"
    classid = CLASS_TRANSFORM
    held_in = "pg_transform where oid >= 16384"
    keyword = "TRANSFORM"
    owned = False
    rank = 54

    def query(self, version: int) -> str:
        return f"""
            select t.oid, array[format_type(t.trftype, null), l.lanname] as name,
                json_strip_nulls(json_build_object('comment', comment.description)) as facts,
                concat('(', concat_ws(', ',
                    'FROM SQL WITH FUNCTION ' || nullif(t.trffromsql::oid, 0)::regprocedure,
                    'TO SQL WITH FUNCTION ' || nullif(t.trftosql::oid, 0)::regprocedure), ')') as definition,
                {stored_values("t.trffromsql::oid", "t.trftosql::oid")} as stored
            from pg_transform t join pg_language l on l.oid = t.trflang {comment_on(CLASS_TRANSFORM, "t.oid")}
            where t.oid >= 16384"""

    def target(self, entry: Entry) -> str:
        return f"TRANSFORM FOR {entry.name[0]} LANGUAGE {ident(entry.name[1])}"
