"""Extensions. What belongs to one is the extension's and is not looked at."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_EXTENSION, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Scene
from rollback_provider.components.postgres.catalog.sql_text import comment_on, ident, literal


class Extensions(Kind):
    """Extensions of the database, whatever the schemas looked at; a version cannot be taken back."""

    name = "extension"
    classid = CLASS_EXTENSION
    keyword = "EXTENSION"
    swapped = True
    rank = 1
    droppable_late = True
    altered = frozenset({"version", "schema"})

    def query(self, version: int) -> str:
        return f"""
            select e.oid, array[e.extname] as name,
                json_strip_nulls(json_build_object(
                    'schema', n.nspname, 'version', e.extversion, 'comment', comment.description)) as facts,
                json_build_object('schema', json_build_array(json_build_array(2615, n.oid, 0))) as refs
            from pg_extension e join pg_namespace n on n.oid = e.extnamespace {comment_on(CLASS_EXTENSION, "e.oid")}
            where e.oid >= 16384"""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        facts = then.facts
        yield self.action(
            then, f"CREATE {self.target(then)} WITH SCHEMA {ident(facts['schema'])} VERSION {literal(facts['version'])}"
        )

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        if not scene.same(then, now, "version"):
            scene.refuse(
                f"{then.label} has version {now.facts['version']}, it had {then.facts['version']}: extensions cannot be downgraded"
            )
        if not scene.same(then, now, "schema"):
            yield self.action(
                then, f"ALTER {self.target(then)} SET SCHEMA {ident(then.facts['schema'])}", aspect="schema"
            )
