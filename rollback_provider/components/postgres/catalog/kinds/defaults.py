"""Defaults of columns."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_DEFAULT, CLASS_RELATION, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Phase, Scene
from rollback_provider.components.postgres.catalog.kinds.columns import fast_default
from rollback_provider.components.postgres.catalog.sql_text import ident, stored
from rollback_provider.components.postgres.reversal import Statement


class Defaults(Kind):
    """Defaults of the columns of tables and views. Setting one touches no row."""

    name = "default"
    classid = CLASS_DEFAULT
    held_in = "pg_attrdef where oid >= 16384"
    rank = 200
    owned = False

    def query(self, version: int) -> str:
        return f"""
            select d.oid, json_build_array({CLASS_RELATION}, c.oid, case when c.relkind = 'v' then 0 else a.attnum end) as parent,
                array[n.nspname, c.relname, a.attname] as name,
                pg_get_expr(d.adbin, d.adrelid) as definition, {stored("d.adbin")} as stored,
                json_build_object('inherited', a.attinhcount > 0 and not a.attislocal, 'volatile', exists (
                    select from regexp_matches(d.adbin::text, ':(?:funcid|opfuncid) ([0-9]+)', 'g') as called
                    join pg_proc p on p.oid = called[1]::oid where p.provolatile = 'v')) as extra
            from pg_attrdef d join pg_class c on c.oid = d.adrelid join pg_namespace n on n.oid = c.relnamespace
            join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
            where a.attgenerated = '' and c.relkind in ('r', 'p', 'v', 'f')
                and c.relpersistence <> 't' and c.relnamespace = any(%(schemas)s)"""

    def lock(self, entry: Entry) -> str:
        return f"AccessExclusive on {'.'.join(entry.name[:2])}"

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        column = then.parent
        if column is None or (
            column[2] and scene.created(column) and not self._table(then, scene) and fast_default(then, scene)
        ):
            return
        table = self._table(then, scene)
        entry = scene.then_entry(column)
        if (
            table
            and entry
            and "inherits" in entry.extra
            and then.extra["inherited"]
            and not self._partition(table, scene)
        ):
            return
        yield self.action(
            then,
            f"{self._head(then)} SET DEFAULT {then.definition}",
            phase=Phase.CREATE if table else Phase.PREPARE,
            table=table,
        )

    def drop(self, now: Entry, scene: Scene) -> tuple[Statement, ...]:
        return (Statement(f"{self._head(now)} DROP DEFAULT", self.lock(now)),)

    def _head(self, entry: Entry) -> str:
        return f"ALTER TABLE {ident(*entry.name[:2])} ALTER COLUMN {ident(entry.name[2])}"

    def _table(self, then: Entry, scene: Scene) -> tuple[int, int, int] | None:
        table = (CLASS_RELATION, then.parent[1], 0) if then.parent else None
        return table if scene.recreated_table(table) else None

    def _partition(self, table: tuple[int, int, int], scene: Scene) -> bool:
        entry = scene.then_entry(table)
        return entry is not None and "bound" in entry.facts
