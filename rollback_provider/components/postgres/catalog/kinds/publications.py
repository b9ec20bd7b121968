"""Tables in publications. The publications themselves are among the kinds that are only watched."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_PUBLICATION_TABLE, CLASS_RELATION, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Phase, Scene
from rollback_provider.components.postgres.catalog.sql_text import ident, stored_row
from rollback_provider.components.postgres.reversal import Statement


class PublishedTables(Kind):
    """Tables that a publication names, with their columns and row filters."""

    name = "published table"
    classid = CLASS_PUBLICATION_TABLE
    rank = 795
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
        phase = Phase.PREPARE if scene.collateral(then.ref) else Phase.FINISH
        text = f"ALTER PUBLICATION {ident(then.name[2])} ADD TABLE {ident(*then.name[:2])}{then.definition}"
        yield self.action(then, text, phase=phase, lock=f"ShareUpdateExclusive on {'.'.join(then.name[:2])}")

    def drop(self, now: Entry, scene: Scene) -> tuple[Statement, ...]:
        text = f"ALTER PUBLICATION {ident(now.name[2])} DROP TABLE {ident(*now.name[:2])}"
        return (Statement(text, f"ShareUpdateExclusive on {'.'.join(now.name[:2])}"),)
