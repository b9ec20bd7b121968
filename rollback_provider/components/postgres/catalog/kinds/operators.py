"""Operators."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_FUNCTION, CLASS_OPERATOR, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Scene
from rollback_provider.components.postgres.catalog.sql_text import (
    comment_on,
    function,
    ident,
    operator,
    refs_to,
    stored_values,
)

_LINKS = ("commutator", "negator")
_ESTIMATORS = ("restrict", "join")


class Operators(Kind):
    """Operators. Commutator and negator name each other: making one of them again brings the link of the other back."""

    name = "operator"
    classid = CLASS_OPERATOR
    held_in = "pg_operator where oid >= 16384"
    keyword = "OPERATOR"
    naming = Naming.SCHEMA
    rank = 52
    altered = frozenset({*_LINKS, *_ESTIMATORS})

    def query(self, version: int) -> str:
        left = "'LEFTARG = ' || format_type(nullif(o.oprleft, 0), null)"
        return f"""
            select o.oid, array[n.nspname, o.oprname,
                    concat_ws(', ', coalesce(format_type(nullif(o.oprleft, 0), null), 'NONE'), format_type(o.oprright, null))] as name,
                json_strip_nulls(json_build_object('owner', pg_get_userbyid(o.oprowner), 'comment', comment.description,
                    'commutator', {operator("o.oprcom")}, 'negator', {operator("o.oprnegate")},
                    'restrict', {function("o.oprrest")}, 'join', {function("o.oprjoin")})) as facts,
                concat_ws(', ', 'FUNCTION = ' || o.oprcode, {left}, 'RIGHTARG = ' || format_type(o.oprright, null),
                    case when o.oprcanhash then 'HASHES' end, case when o.oprcanmerge then 'MERGES' end) as definition,
                {stored_values("o.oprcode::oid", "o.oprleft", "o.oprright", "o.oprcanhash", "o.oprcanmerge")} as stored,
                {
            refs_to(
                commutator=(CLASS_OPERATOR, "o.oprcom"),
                negator=(CLASS_OPERATOR, "o.oprnegate"),
                restrict=(CLASS_FUNCTION, "o.oprrest::oid"),
                join=(CLASS_FUNCTION, "o.oprjoin::oid"),
            )
        } as refs
            from pg_operator o join pg_namespace n on n.oid = o.oprnamespace {comment_on(CLASS_OPERATOR, "o.oid")}
            where o.oprcode::oid <> 0 and o.oprnamespace = any(%(schemas)s)"""

    def address(self, name: tuple[str, ...]) -> str:
        return f"{ident(name[0])}.{name[1]} ({name[2]})"

    def rebuilds(self, then: Entry, now: Entry, scene: Scene) -> bool:
        linked = [ref for link in _LINKS if not scene.same(then, now, link) for ref in now.refs.get(link, ())]
        return super().rebuilds(then, now, scene) or not all(map(scene.new, linked))

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        options = [f"{fact.upper()} = {then.facts[fact]}" for fact in (*_LINKS, *_ESTIMATORS) if fact in then.facts]
        text = f"CREATE OPERATOR {ident(then.name[0])}.{then.name[1]} ({', '.join([then.definition, *options])})"
        yield self.action(then, text)

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        changed = [fact for fact in _ESTIMATORS if not scene.same(then, now, fact)]
        if changed:
            options = ", ".join(f"{fact.upper()} = {then.facts.get(fact, 'NONE')}" for fact in changed)
            yield self.action(then, f"ALTER {self.target(then)} SET ({options})", aspect="estimators")
