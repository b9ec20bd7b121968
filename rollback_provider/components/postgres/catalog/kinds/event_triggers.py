"""Event triggers."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_EVENT_TRIGGER, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Naming, Phase, Scene
from rollback_provider.components.postgres.catalog.kinds.defined import Defined
from rollback_provider.components.postgres.catalog.kinds.triggers import ENABLED
from rollback_provider.components.postgres.catalog.sql_text import comment_on, stored_values


class EventTriggers(Defined):
    """Event triggers of the database. They are dropped first and come back last, so that they do not act on the rollback itself."""

    name = "event trigger"
    classid = CLASS_EVENT_TRIGGER
    held_in = "pg_event_trigger where oid >= 16384"
    keyword = "EVENT TRIGGER"
    naming = Naming.DATABASE
    rank = 1000
    altered = frozenset({"enabled"})

    def query(self, version: int) -> str:
        return f"""
            select e.oid, array[e.evtname] as name,
                json_strip_nulls(json_build_object('owner', pg_get_userbyid(e.evtowner), 'comment', comment.description,
                    'enabled', nullif(e.evtenabled, 'O'))) as facts,
                concat('ON ', e.evtevent, ' WHEN TAG IN (' || (
                    select string_agg(quote_literal(tag), ', ' order by number)
                    from unnest(e.evttags) with ordinality tags(tag, number)) || ')',
                    ' EXECUTE FUNCTION ', e.evtfoid::regproc, '()') as definition,
                {stored_values("e.evtevent", "e.evtfoid", "e.evttags")} as stored
            from pg_event_trigger e {comment_on(CLASS_EVENT_TRIGGER, "e.oid")}"""

    def privileged(self, entry: Entry) -> bool:
        return True

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        enabling = (self._enabling(then),) if "enabled" in then.facts else ()
        yield self.action(then, f"CREATE {self.target(then)} {then.definition}", *enabling, phase=Phase.FINISH)

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        if not scene.same(then, now, "enabled"):
            yield self.action(then, self._enabling(then), aspect="enabled", phase=Phase.FINISH)

    def _enabling(self, then: Entry) -> str:
        return f"ALTER {self.target(then)} {ENABLED[then.facts.get('enabled', 'O')]}"
