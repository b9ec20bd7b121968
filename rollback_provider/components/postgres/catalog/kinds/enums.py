"""Enumerated types."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_TYPE, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Scene
from rollback_provider.components.postgres.catalog.sql_text import comment_on, grants_of, literal


class Enums(Kind):
    """Enums. A label that was renamed is renamed back; where labels were added or moved the type is swapped for one without."""

    name = "enum"
    classid = CLASS_TYPE
    held_in = "pg_type where typtype = 'e' and oid >= 16384"
    keyword = "TYPE"
    naming = Naming.RELATION
    swapped = True
    default_acl = "T"
    acl = "TYPE"
    rank = 10
    droppable_late = True
    altered = frozenset({"labels"})

    def query(self, version: int) -> str:
        return f"""
            select t.oid, array[n.nspname, t.typname] as name,
                json_strip_nulls(json_build_object(
                    'owner', pg_get_userbyid(t.typowner), 'comment', comment.description,
                    'labels', coalesce(l.labels, '[]'), {grants_of("t.typacl", "T", "t.typowner")})) as facts,
                json_build_object('labels', l.oids) as extra
            from pg_type t join pg_namespace n on n.oid = t.typnamespace
            left join (select enumtypid, json_agg(enumlabel order by enumsortorder) labels, json_agg(oid order by enumsortorder) oids
                       from pg_enum group by enumtypid) l on l.enumtypid = t.oid
            {comment_on(CLASS_TYPE, "t.oid")}
            where t.typtype = 'e' and t.typnamespace = any(%(schemas)s)"""

    def rebuilds(self, then: Entry, now: Entry, scene: Scene) -> bool:
        return bool(then.facts["labels"] != now.facts["labels"] and then.extra["labels"] != now.extra["labels"])

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        labels = ", ".join(literal(label) for label in then.facts["labels"])
        yield self.action(then, f"CREATE {self.target(then)} AS ENUM ({labels})")

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        pending = {a: b for a, b in zip(now.facts["labels"], then.facts["labels"], strict=True) if a != b}
        statements = []
        while pending:
            label = next((label for label, target in pending.items() if target not in pending), None)
            if label is None:
                label = next(iter(pending))
                spare = f"{label[:40]} before rollback"
                pending[spare] = pending.pop(label)
                statements.append(f"ALTER {self.target(then)} RENAME VALUE {literal(label)} TO {literal(spare)}")
                continue
            statements.append(
                f"ALTER {self.target(then)} RENAME VALUE {literal(label)} TO {literal(pending.pop(label))}"
            )
        if statements:
            yield self.action(then, *statements, aspect="labels")
