"""Default privileges: what objects made later may be used for, and by whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rollback_provider.components.postgres.catalog.entry import CLASS_DEFAULT_PRIVILEGES, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Phase, Scene
from rollback_provider.components.postgres.catalog.sql_text import ident, listed, privileges_in
from rollback_provider.components.postgres.reversal import Statement

OBJECTS = {"r": "TABLES", "S": "SEQUENCES", "f": "FUNCTIONS", "T": "TYPES", "n": "SCHEMAS", "L": "LARGE OBJECTS"}


class DefaultPrivileges(Kind):
    """ALTER DEFAULT PRIVILEGES of the schemas looked at, and of the database as a whole."""

    name = "default privileges"
    classid = CLASS_DEFAULT_PRIVILEGES
    held_in = "pg_default_acl where oid >= 16384"
    rank = 890
    owned = False
    altered = frozenset({"allowed", "denied"})

    def query(self, version: int) -> str:
        usual = "acldefault(case d.defaclobjtype when 'S' then 's'::\"char\" else d.defaclobjtype end, d.defaclrole)"
        here, there = privileges_in("d.defaclacl"), f"{privileges_in(usual)} where d.defaclnamespace = 0"
        return f"""
            select d.oid, array_remove(array[coalesce(n.nspname, ''), pg_get_userbyid(d.defaclrole), d.defaclobjtype::text], null) as name,
                json_strip_nulls(json_build_object('allowed', ({listed(f"{here} except {there}")}),
                    'denied', ({listed(f"{there} except {here}")}))) as facts
            from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace
            where d.defaclnamespace = 0 or d.defaclnamespace = any(%(schemas)s)"""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        yield self.action(then, *self._statements(then, then.facts, {}), phase=Phase.FINISH)

    def drop(self, now: Entry, scene: Scene) -> tuple[Statement, ...]:
        return tuple(Statement(text) for text in self._statements(now, {}, now.facts))

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        if then.facts != now.facts:
            yield self.action(
                then, *self._statements(then, then.facts, now.facts), aspect="privileges", phase=Phase.FINISH
            )

    def _statements(self, entry: Entry, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
        schema, role, objects = entry.name
        head = f"ALTER DEFAULT PRIVILEGES FOR ROLE {ident(role)}{f' IN SCHEMA {ident(schema)}' if schema else ''}"
        allowed, denied = ([tuple(item) for item in before.get(fact, ())] for fact in ("allowed", "denied"))
        allowed_now, denied_now = ([tuple(item) for item in after.get(fact, ())] for fact in ("allowed", "denied"))
        revoke = [item for item in allowed_now if item not in allowed] + [
            item for item in denied if item not in denied_now
        ]
        grant = [item for item in allowed if item not in allowed_now] + [
            item for item in denied_now if item not in denied
        ]
        for who, what, _ in revoke:
            yield f"{head} REVOKE {what} ON {OBJECTS[objects]} FROM {ident(who) if who else 'PUBLIC'}"
        for who, what, again in grant:
            option = " WITH GRANT OPTION" if again else ""
            yield f"{head} GRANT {what} ON {OBJECTS[objects]} TO {ident(who) if who else 'PUBLIC'}{option}"
