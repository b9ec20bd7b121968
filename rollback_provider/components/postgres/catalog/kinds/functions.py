"""Functions and procedures."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_FUNCTION, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Scene
from rollback_provider.components.postgres.catalog.sql_text import comment_on, grants_of, ident, stored_row
from rollback_provider.components.postgres.reversal import Statement


class Functions(Kind):
    """Functions and procedures. One whose signature is the same is replaced in place, so that what uses it stays."""

    name = "function"
    classid = CLASS_FUNCTION
    held_in = "pg_proc where prokind <> 'a' and oid >= 16384"
    keyword = "FUNCTION"
    naming = Naming.SCHEMA
    default_acl = "f"
    acl = "FUNCTION"
    rank = 50

    def query(self, version: int) -> str:
        return f"""
            select p.oid, array[n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)] as name,
                json_strip_nulls(json_build_object(
                    'owner', pg_get_userbyid(p.proowner), 'comment', comment.description, 'kind', p.prokind,
                    {grants_of("p.proacl", "f", "p.proowner")})) as facts,
                pg_get_functiondef(p.oid) as definition,
                {stored_row("p", "proname", "pronamespace", "proowner", "proacl")} as stored,
                json_build_object('signature', json_build_array(p.proargtypes::oid[], p.proallargtypes, p.proargmodes, p.proargnames,
                    p.prorettype, p.proretset, p.pronargdefaults, p.prokind)) as extra
            from pg_proc p join pg_namespace n on n.oid = p.pronamespace {comment_on(CLASS_FUNCTION, "p.oid")}
            where p.prokind in ('f', 'p', 'w') and p.pronamespace = any(%(schemas)s)"""

    def address(self, name: tuple[str, ...]) -> str:
        return f"{ident(*name[:2])}({name[2]})"

    def target(self, entry: Entry) -> str:
        return f"{'PROCEDURE' if entry.facts['kind'] == 'p' else 'FUNCTION'} {self.address(entry.name)}"

    def granted(self, entry: Entry) -> str:
        return self.target(entry)

    def rebuilds(self, then: Entry, now: Entry, scene: Scene) -> bool:
        return super().rebuilds(then, now, scene) and then.extra["signature"] != now.extra["signature"]

    def sql(self, text: str) -> str:
        return text  # a body is kept to the letter

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        yield self.action(then, then.definition.rstrip())

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        if not scene.same_definition(then, now):
            yield self.action(then, then.definition.rstrip())

    def rename(self, now: Entry, name: tuple[str, ...], new: str) -> Statement:
        return Statement(f"ALTER ROUTINE {self.address(name)} RENAME TO {ident(new)}")

    def move(self, now: Entry, name: tuple[str, ...], schema: str) -> Statement:
        return Statement(f"ALTER ROUTINE {self.address(name)} SET SCHEMA {ident(schema)}")
