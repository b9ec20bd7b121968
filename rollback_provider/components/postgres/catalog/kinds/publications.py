"""Publications, and the tables and schemas in them."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import (
    CLASS_PUBLICATION,
    CLASS_PUBLICATION_SCHEMA,
    CLASS_PUBLICATION_TABLE,
    CLASS_RELATION,
    CLASS_SCHEMA,
    Entry,
)
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Phase, Scene
from rollback_provider.components.postgres.catalog.sql_text import comment_on, ident, literal, stored_row
from rollback_provider.components.postgres.reversal import Statement

GENERATED_COLUMNS = {"n": "none", "s": "stored"}


def _phase(then: Entry, scene: Scene) -> Phase:
    """At once where something is published now, so that no write is missed; otherwise when rows and replica identities are back."""
    return Phase.FINISH if scene.gone(then.ref) else Phase.PREPARE


class Publications(Kind):
    """Publications of the database, whatever the schemas looked at. FOR ALL TABLES cannot be altered: such a one is made again."""

    name = "publication"
    classid = CLASS_PUBLICATION
    held_in = "pg_publication where oid >= 16384"
    keyword = "PUBLICATION"
    naming = Naming.DATABASE
    rank = 884
    altered = frozenset({"publish", "via_root", "generated_columns"})

    def query(self, version: int) -> str:
        generated = "nullif(p.pubgencols, 'n')" if version >= 180000 else "null"
        return f"""
            select p.oid, array[p.pubname] as name,
                json_strip_nulls(json_build_object('owner', pg_get_userbyid(p.pubowner), 'comment', comment.description,
                    'all_tables', nullif(p.puballtables, false), 'via_root', nullif(p.pubviaroot, false), 'generated_columns', {generated},
                    'publish', concat_ws(', ', case when p.pubinsert then 'insert' end, case when p.pubupdate then 'update' end,
                        case when p.pubdelete then 'delete' end, case when p.pubtruncate then 'truncate' end))) as facts
            from pg_publication p {comment_on(CLASS_PUBLICATION, "p.oid")}"""

    def privileged(self, entry: Entry) -> bool:
        return "all_tables" in entry.facts

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        tables = " FOR ALL TABLES" if "all_tables" in then.facts else ""
        text = f"CREATE {self.target(then)}{tables} WITH ({self._options(then, scene)})"
        yield self.action(then, text, phase=_phase(then, scene))

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        if self.differing(then, now, scene):
            yield self.action(then, f"ALTER {self.target(then)} SET ({self._options(then, scene)})", aspect="options")

    @staticmethod
    def _options(then: Entry, scene: Scene) -> str:
        facts = then.facts
        options = [
            f"publish = {literal(facts['publish'])}",
            f"publish_via_partition_root = {'via_root' in facts}",
        ]
        if scene.version >= 180000:
            options.append(f"publish_generated_columns = {GENERATED_COLUMNS[facts.get('generated_columns', 'n')]}")
        return ", ".join(options)


class PublishedTables(Kind):
    """Tables that a publication names, with their columns and row filters."""

    name = "published table"
    classid = CLASS_PUBLICATION_TABLE
    held_in = "pg_publication_rel where oid >= 16384"
    rank = 886
    owned = False

    def query(self, version: int) -> str:
        details = "''"
        if version >= 150000:
            details = """concat(
                ' (' || (select string_agg(quote_ident(attname), ', ' order by attname) from pg_attribute
                         where attrelid = r.prrelid and attnum = any(r.prattrs::int2[])) || ')',
                ' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')')"""
        return f"""
            select r.oid, json_build_array({CLASS_RELATION}, c.oid, 0) as parent, array[n.nspname, c.relname, p.pubname] as name,
                {details} as definition, {stored_row("r")} as stored
            from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
            join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace
            where n.oid = any(%(schemas)s)"""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        text = f"ALTER PUBLICATION {ident(then.name[2])} ADD TABLE {ident(*then.name[:2])}{then.definition}"
        lock = f"ShareUpdateExclusive on {'.'.join(then.name[:2])}"
        yield self.action(then, text, phase=_phase(then, scene), lock=lock)

    def drop(self, now: Entry, scene: Scene) -> tuple[Statement, ...]:
        text = f"ALTER PUBLICATION {ident(now.name[2])} DROP TABLE {ident(*now.name[:2])}"
        return (Statement(text, f"ShareUpdateExclusive on {'.'.join(now.name[:2])}"),)


class PublishedSchemas(Kind):
    """Schemas of which a publication takes all tables; from PostgreSQL 15 on."""

    name = "published schema"
    classid = CLASS_PUBLICATION_SCHEMA
    held_in = "pg_publication where oid >= 16384"
    rank = 886
    owned = False

    def query(self, version: int) -> str:
        if version < 150000:
            return "select where false"
        return f"""
            select s.oid, json_build_array({CLASS_SCHEMA}, n.oid, 0) as parent, array[n.nspname, p.pubname] as name
            from pg_publication_namespace s join pg_publication p on p.oid = s.pnpubid
            join pg_namespace n on n.oid = s.pnnspid where n.oid = any(%(schemas)s)"""

    def privileged(self, entry: Entry) -> bool:
        return True

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        text = f"ALTER PUBLICATION {ident(then.name[1])} ADD TABLES IN SCHEMA {ident(then.name[0])}"
        yield self.action(then, text, phase=_phase(then, scene))

    def drop(self, now: Entry, scene: Scene) -> tuple[Statement, ...]:
        return (Statement(f"ALTER PUBLICATION {ident(now.name[1])} DROP TABLES IN SCHEMA {ident(now.name[0])}"),)
