"""Domains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rollback_provider.components.postgres.catalog.entry import CLASS_COLLATION, CLASS_CONSTRAINT, CLASS_TYPE, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Phase, Scene
from rollback_provider.components.postgres.catalog.sql_text import (
    comment_on,
    grants_of,
    ident,
    literal,
    refs_to,
    stored_row,
)


class Domains(Kind):
    """Domains: base type, default, NOT NULL and checks. Checks that the migration added go first, those it dropped come last."""

    name = "domain"
    classid = CLASS_TYPE
    held_in = "pg_type where typtype = 'd' and oid >= 16384"
    keyword = "DOMAIN"
    naming = Naming.RELATION
    swapped = True
    default_acl = "T"
    acl = "DOMAIN"
    rank = 12
    droppable_late = True
    altered = frozenset({"default", "not_null", "not_null_name", "checks", "constraint_comments"})

    def query(self, version: int) -> str:
        collation = "nullif(t.typcollation, b.typcollation)"
        refs = refs_to(type=(CLASS_TYPE, "t.typbasetype"), collation=(CLASS_COLLATION, collation))
        return f"""
            select t.oid, array[n.nspname, t.typname] as name,
                json_strip_nulls(json_build_object(
                    'owner', pg_get_userbyid(t.typowner), 'comment', comment.description,
                    'type', format_type(t.typbasetype, t.typtypmod), 'default', t.typdefault,
                    'collation', case when t.typcollation <> b.typcollation then t.typcollation::regcollation::text end,
                    'not_null', nullif(t.typnotnull, false), 'not_null_name', k.conname, 'checks', c.checks,
                    'constraint_comments', m.comments,
                    {grants_of("t.typacl", "T", "t.typowner")})) as facts,
                {refs} as refs,
                json_build_object('typmod', t.typtypmod, 'checks', c.stored, 'default', md5(t.typdefaultbin::text)) as extra
            from pg_type t join pg_namespace n on n.oid = t.typnamespace join pg_type b on b.oid = t.typbasetype
            left join (select contypid, json_object_agg(conname, pg_get_constraintdef(c.oid) order by conname) checks,
                              json_object_agg(conname, {stored_row("c", "conname")} order by conname) as stored
                       from pg_constraint c where contypid <> 0 and contype = 'c' group by contypid) c on c.contypid = t.oid
            left join pg_constraint k on k.contypid = t.oid and k.contype = 'n'
            left join (select contypid, json_object_agg(conname, description order by conname) comments
                       from pg_constraint c join pg_description on classoid = {CLASS_CONSTRAINT} and objoid = c.oid
                       where contypid <> 0 group by contypid) m on m.contypid = t.oid
            {comment_on(CLASS_TYPE, "t.oid")}
            where t.typtype = 'd' and t.typnamespace = any(%(schemas)s)"""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        facts = then.facts
        text = f"CREATE {self.target(then)} AS {facts['type']}"
        text += f" COLLATE {facts['collation']}" if "collation" in facts else ""
        text += f" DEFAULT {facts['default']}" if "default" in facts else ""
        text += f" CONSTRAINT {ident(facts['not_null_name'])}" if "not_null_name" in facts else ""
        text += " NOT NULL" if facts.get("not_null") else ""
        head = f"ALTER {self.target(then)} ADD CONSTRAINT"
        checks = facts.get("checks", {})
        made = (f"{head} {ident(name)} {check}" for name, check in checks.items())
        yield self.action(then, text, *made, *self._comments(then, facts.get("constraint_comments", {})))

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        head = f"ALTER {self.target(then)}"
        if not scene.same(then, now, "default"):
            default = then.facts.get("default")
            yield self.action(
                then, f"{head} SET DEFAULT {default}" if default else f"{head} DROP DEFAULT", aspect="default"
            )
        yield from self._not_null(then, now)
        before, after = then.facts.get("checks", {}), now.facts.get("checks", {})
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        if changed & before.keys() and scene.in_containers(then.ref):
            scene.refuse(
                f"{then.label} has lost a check and is used in an array or composite column: PostgreSQL cannot add checks to such a domain"
            )
        dropped = [f"{head} DROP CONSTRAINT {ident(name)}" for name in sorted(changed & after.keys())]
        if dropped:
            # The server refuses a savepoint right after DROP CONSTRAINT ("unprocessed inval messages"), unless something is written.
            if scene.same(then, now, "default"):
                default = then.facts.get("default")
                dropped.append(f"{head} SET DEFAULT {default}" if default else f"{head} DROP DEFAULT")
            yield self.action(then, *dropped, aspect="checks off")
        yield from self._checks(then, {name: before[name] for name in sorted(changed & before.keys())})
        made = changed & before.keys() | ({then.facts.get("not_null_name")} - {now.facts.get("not_null_name")})
        was, is_ = (entry.facts.get("constraint_comments", {}) for entry in (then, now))
        names = {*before, then.facts.get("not_null_name")}
        wrong = [name for name in names if name and was.get(name) != (None if name in made else is_.get(name))]
        comments = self._comments(then, {name: was.get(name) for name in sorted(wrong)})
        if comments:
            yield self.action(then, *comments, aspect="comments", phase=Phase.FINISH, rank=self.rank + 1)

    def _comments(self, then: Entry, comments: dict[str, str | None]) -> list[str]:
        on = f"ON {self.target(then)} IS"
        return [
            f"COMMENT ON CONSTRAINT {ident(name)} {on} {'NULL' if text is None else literal(text)}"
            for name, text in comments.items()
        ]

    def _not_null(self, then: Entry, now: Entry) -> Iterator[Action]:
        head = f"ALTER {self.target(then)}"
        before, after = then.facts.get("not_null_name"), now.facts.get("not_null_name")
        if then.facts.get("not_null") and not now.facts.get("not_null"):
            text = f"ADD CONSTRAINT {ident(before)} NOT NULL" if before else "SET NOT NULL"
            yield self.action(then, f"{head} {text}", aspect="not null", phase=Phase.FINISH)
        elif now.facts.get("not_null") and not then.facts.get("not_null"):
            yield self.action(then, f"{head} DROP NOT NULL", aspect="not null")
        elif before and after and before != after:
            yield self.action(then, f"{head} RENAME CONSTRAINT {ident(after)} TO {ident(before)}", aspect="not null")

    def _checks(self, then: Entry, checks: dict[str, Any]) -> Iterator[Action]:
        head = f"ALTER {self.target(then)}"
        for name, definition in checks.items():
            text = f"{head} ADD CONSTRAINT {ident(name)} {definition.removesuffix(' NOT VALID')} NOT VALID"
            validate = () if definition.endswith(" NOT VALID") else (f"{head} VALIDATE CONSTRAINT {ident(name)}",)
            yield self.action(then, text, *validate, aspect=f"check {name}", phase=Phase.FINISH)
