"""Composite types and range types."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_TYPE, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Scene
from rollback_provider.components.postgres.catalog.sql_text import comment_on, grants_of, ident


class Composites(Kind):
    """Composite types made by CREATE TYPE … AS. A changed one is swapped for one as it was."""

    name = "composite type"
    classid = CLASS_TYPE
    held_in = "pg_class where relkind = 'c' and oid >= 16384"
    keyword = "TYPE"
    naming = Naming.RELATION
    swapped = True
    default_acl = "T"
    acl = "TYPE"
    rank = 14
    droppable_late = True

    def query(self, version: int) -> str:
        return f"""
            select t.oid, array[n.nspname, t.typname] as name,
                json_strip_nulls(json_build_object(
                    'owner', pg_get_userbyid(t.typowner), 'comment', comment.description,
                    'attributes', (select coalesce(json_agg(json_build_array(a.attname, format_type(a.atttypid, a.atttypmod),
                        case when a.attcollation <> y.typcollation then a.attcollation::regcollation::text end)
                        order by a.attnum), '[]')
                        from pg_attribute a join pg_type y on y.oid = a.atttypid
                        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
                    {grants_of("t.typacl", "T", "t.typowner")})) as facts
            from pg_type t join pg_namespace n on n.oid = t.typnamespace join pg_class c on c.oid = t.typrelid and c.relkind = 'c'
            {comment_on(CLASS_TYPE, "t.oid")}
            where t.typtype = 'c' and t.typnamespace = any(%(schemas)s)"""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        attributes = ", ".join(
            f"{ident(name)} {type_}" + (f" COLLATE {collation}" if collation else "")
            for name, type_, collation in then.facts["attributes"]
        )
        yield self.action(then, f"CREATE {self.target(then)} AS ({attributes})")


class Ranges(Kind):
    """Range types."""

    name = "range type"
    classid = CLASS_TYPE
    held_in = "pg_type where typtype = 'r' and oid >= 16384"
    keyword = "TYPE"
    naming = Naming.RELATION
    swapped = True
    default_acl = "T"
    acl = "TYPE"
    rank = 15
    droppable_late = True

    def query(self, version: int) -> str:
        return f"""
            select t.oid, array[n.nspname, t.typname] as name,
                json_strip_nulls(json_build_object(
                    'owner', pg_get_userbyid(t.typowner), 'comment', comment.description,
                    'subtype', format_type(r.rngsubtype, null),
                    'subtype_opclass', case when not o.opcdefault then quote_ident(m.nspname) || '.' || quote_ident(o.opcname) end,
                    'collation', case when r.rngcollation <> s.typcollation then r.rngcollation::regcollation::text end,
                    'canonical', nullif(r.rngcanonical, 0)::regproc::text, 'subtype_diff', nullif(r.rngsubdiff, 0)::regproc::text,
                    'multirange_type_name', quote_ident(n.nspname) || '.' || quote_ident(u.typname),
                    {grants_of("t.typacl", "T", "t.typowner")})) as facts
            from pg_range r join pg_type t on t.oid = r.rngtypid join pg_namespace n on n.oid = t.typnamespace
            join pg_type s on s.oid = r.rngsubtype join pg_type u on u.oid = r.rngmultitypid
            join pg_opclass o on o.oid = r.rngsubopc join pg_namespace m on m.oid = o.opcnamespace
            {comment_on(CLASS_TYPE, "t.oid")}
            where t.typnamespace = any(%(schemas)s)"""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        options = ("subtype", "subtype_opclass", "collation", "canonical", "subtype_diff", "multirange_type_name")
        text = ", ".join(f"{option} = {then.facts[option]}" for option in options if option in then.facts)
        if "canonical" in then.facts:
            scene.refuse(f"{then.label} has a canonical function: such a range type is not brought back")
        yield self.action(then, f"CREATE {self.target(then)} AS RANGE ({text})")
