"""Schemas."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_SCHEMA, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Scene
from rollback_provider.components.postgres.catalog.sql_text import comment_on, grants_of


class Schemas(Kind):
    """Schemas. Those of the snapshot are made first, those that the migration added are dropped last."""

    name = "schema"
    classid = CLASS_SCHEMA
    keyword = "SCHEMA"
    naming = Naming.DATABASE
    default_acl = "n"
    acl = "SCHEMA"
    droppable_late = True

    def query(self, version: int) -> str:
        return f"""
            select n.oid, array[n.nspname] as name,
                json_strip_nulls(json_build_object(
                    'owner', pg_get_userbyid(n.nspowner), 'comment', comment.description,
                    {grants_of("n.nspacl", "n", "n.nspowner")})) as facts
            from pg_namespace n {comment_on(CLASS_SCHEMA, "n.oid")}
            where n.oid = any(%(schemas)s)"""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        yield self.action(then, f"CREATE {self.target(then)}")
