"""Triggers, rules and policies: what hangs on a table and acts when it is used."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import (
    CLASS_POLICY,
    CLASS_RELATION,
    CLASS_REWRITE,
    CLASS_TRIGGER,
    Entry,
)
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Phase, Scene
from rollback_provider.components.postgres.catalog.sql_text import comment_on, ident, stored_row
from rollback_provider.components.postgres.reserved import TRACKING_SCHEMA
from rollback_provider.components.postgres.reversal import Statement

ENABLED = {"O": "ENABLE", "D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


class OnTable(Kind):
    """What belongs to a table or view and is addressed as ``name ON table``."""

    owned = False
    naming = Naming.TABLE

    def target(self, entry: Entry) -> str:
        return f"{self.keyword} {ident(entry.name[2])} ON {ident(*entry.name[:2])}"

    def lock(self, entry: Entry) -> str:
        return f"AccessExclusive on {'.'.join(entry.name[:2])}"

    def rename(self, now: Entry, name: tuple[str, ...], new: str) -> Statement:
        return Statement(
            f"ALTER {self.keyword} {ident(name[2])} ON {ident(*name[:2])} RENAME TO {ident(new)}", self.lock(now)
        )

    def phase(self, then: Entry, scene: Scene) -> Phase:
        """At once where it has not changed, so that it misses no write; otherwise when the rows are back."""
        return Phase.PREPARE if scene.collateral(then.ref) else Phase.FINISH

    def enabling(self, then: Entry) -> str:
        """Puts the enabled state back."""
        return f"ALTER TABLE {ident(*then.name[:2])} {ENABLED[then.facts.get('enabled', 'O')]} {self.keyword} {ident(then.name[2])}"


class Triggers(OnTable):
    """User triggers with their enabled state. Triggers of partitions follow the parent's."""

    name = "trigger"
    classid = CLASS_TRIGGER
    held_in = "pg_trigger where not tgisinternal and oid >= 16384"
    keyword = "TRIGGER"
    rank = 760
    altered = frozenset({"enabled", "inherited"})

    def query(self, version: int) -> str:
        return f"""
            select t.oid, json_build_array({CLASS_RELATION}, c.oid, 0) as parent, array[n.nspname, c.relname, t.tgname] as name,
                json_strip_nulls(json_build_object('comment', comment.description, 'enabled', nullif(t.tgenabled, 'O'),
                    'inherited', nullif(t.tgparentid <> 0, false))) as facts,
                pg_get_triggerdef(t.oid) as definition,
                {stored_row("t", "tgname", "tgenabled", "tgconstraint", "tgconstrindid", "tgparentid")} as stored
            from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
            {comment_on(CLASS_TRIGGER, "t.oid")}
            where not t.tgisinternal and c.relnamespace = any(%(schemas)s) and not exists (
                select from pg_proc p where p.oid = t.tgfoid and p.pronamespace = to_regnamespace('{TRACKING_SCHEMA}'))"""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        if then.facts.get("inherited"):
            return
        enabling = (self.enabling(then),) if "enabled" in then.facts else ()
        lock = f"ShareRowExclusive on {'.'.join(then.name[:2])}"
        yield self.action(then, then.definition, *enabling, phase=self.phase(then, scene), lock=lock)

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        if not scene.same(then, now, "enabled"):
            yield self.action(then, self.enabling(then), aspect="enabled", phase=Phase.FINISH, rank=765)


class Rules(OnTable):
    """Rewrite rules, other than those that make a view a view."""

    name = "rule"
    classid = CLASS_REWRITE
    held_in = "pg_rewrite where rulename <> '_RETURN' and oid >= 16384"
    keyword = "RULE"
    rank = 770
    altered = frozenset({"enabled"})

    def query(self, version: int) -> str:
        return f"""
            select r.oid, json_build_array({CLASS_RELATION}, c.oid, 0) as parent, array[n.nspname, c.relname, r.rulename] as name,
                json_strip_nulls(json_build_object('comment', comment.description, 'enabled', nullif(r.ev_enabled, 'O'))) as facts,
                pg_get_ruledef(r.oid) as definition, {stored_row("r", "rulename", "ev_enabled")} as stored
            from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
            {comment_on(CLASS_REWRITE, "r.oid")}
            where r.rulename <> '_RETURN' and c.relnamespace = any(%(schemas)s)"""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        enabling = (self.enabling(then),) if "enabled" in then.facts else ()
        yield self.action(then, then.definition.rstrip(";"), *enabling, phase=self.phase(then, scene))

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        if not scene.same(then, now, "enabled"):
            yield self.action(then, self.enabling(then), aspect="enabled", phase=Phase.FINISH, rank=775)


class Policies(OnTable):
    """Row security policies."""

    name = "policy"
    classid = CLASS_POLICY
    held_in = "pg_policy where oid >= 16384"
    keyword = "POLICY"
    rank = 780

    def query(self, version: int) -> str:
        return f"""
            select p.oid, json_build_array({CLASS_RELATION}, c.oid, 0) as parent, array[n.nspname, c.relname, p.polname] as name,
                json_strip_nulls(json_build_object('comment', comment.description)) as facts,
                concat('AS ', case when p.polpermissive then 'PERMISSIVE' else 'RESTRICTIVE' end,
                    ' FOR ', case p.polcmd
                        when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE' when 'd' then 'DELETE' else 'ALL' end,
                    ' TO ', (select string_agg(case r when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(r)) end, ', '
                        order by pg_get_userbyid(r)) from unnest(p.polroles) r),
                    ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
                    ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')') as definition,
                {stored_row("p", "polname")} as stored
            from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
            {comment_on(CLASS_POLICY, "p.oid")}
            where c.relnamespace = any(%(schemas)s)"""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        yield self.action(then, f"CREATE {self.target(then)} {then.definition}", phase=self.phase(then, scene))
