"""Extended statistics objects."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_RELATION, CLASS_STATISTICS, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Phase, Scene
from rollback_provider.components.postgres.catalog.sql_text import comment_on, stored_row


class Statistics(Kind):
    """CREATE STATISTICS objects; what they have gathered comes back with the next ANALYZE."""

    name = "statistics"
    classid = CLASS_STATISTICS
    held_in = "pg_statistic_ext where oid >= 16384"
    keyword = "STATISTICS"
    naming = Naming.SCHEMA
    rank = 790
    altered = frozenset({"target"})

    def query(self, version: int) -> str:
        target = "s.stxstattarget" if version >= 170000 else "nullif(s.stxstattarget, -1)"
        return f"""
            select s.oid, json_build_array({CLASS_RELATION}, s.stxrelid, 0) as parent, array[n.nspname, s.stxname] as name,
                json_strip_nulls(json_build_object('owner', pg_get_userbyid(s.stxowner), 'comment', comment.description,
                    'target', {target})) as facts,
                pg_get_statisticsobjdef(s.oid) as definition,
                {stored_row("s", "stxname", "stxnamespace", "stxowner", "stxstattarget")} as stored
            from pg_statistic_ext s join pg_namespace n on n.oid = s.stxnamespace {comment_on(CLASS_STATISTICS, "s.oid")}
            where s.stxnamespace = any(%(schemas)s)"""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        yield self.action(then, then.definition, phase=Phase.FINISH)
        if "target" in then.facts:
            yield self._target(then)

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        if not scene.same(then, now, "target"):
            yield self._target(then)

    def _target(self, then: Entry) -> Action:
        text = f"ALTER {self.target(then)} SET STATISTICS {then.facts.get('target', -1)}"
        return self.action(then, text, aspect="target", phase=Phase.FINISH)
