"""Operator families and operator classes: how an index method uses operators and functions."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import (
    CLASS_INDEX_FUNCTION,
    CLASS_INDEX_OPERATOR,
    CLASS_OPERATOR_CLASS,
    CLASS_OPERATOR_FAMILY,
    Entry,
)
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Scene
from rollback_provider.components.postgres.catalog.sql_text import comment_on, ident, stored_values
from rollback_provider.components.postgres.reversal import Statement


def _members(whole: int, oid: str) -> str:
    """A lateral join of the operators and functions that belong to a family or class, as ``members``."""
    types = "format_type({0}lefttype, null), format_type({0}righttype, null)"
    belongs = f"d.refclassid = {whole} and d.refobjid = {oid} and d.objid = m.oid and d.classid"
    return f"""
        cross join lateral (
            select string_agg(definition, ', ' order by definition) as definition, json_agg(key order by key) as keys,
                jsonb_agg(identity order by identity) as identities
            from (
                select distinct format('OPERATOR %%s %%I.%%s(%%s, %%s)', amopstrategy, on_.nspname, oprname, {types.format("amop")})
                        || coalesce(' FOR ORDER BY ' || quote_ident(fn.nspname) || '.' || quote_ident(opfname), '') as definition,
                    format('OPERATOR %%s (%%s, %%s)', amopstrategy, {types.format("amop")}) as key,
                    jsonb_build_array(amopstrategy, amopopr, amopsortfamily) as identity
                from pg_depend d join pg_amop m on {belongs} = {CLASS_INDEX_OPERATOR}
                join pg_operator o on o.oid = amopopr join pg_namespace on_ on on_.oid = oprnamespace
                left join pg_opfamily f on f.oid = amopsortfamily left join pg_namespace fn on fn.oid = opfnamespace
                union all
                select distinct format('FUNCTION %%s (%%s, %%s) %%s', amprocnum, {types.format("amproc")}, amproc::regprocedure),
                    format('FUNCTION %%s (%%s, %%s)', amprocnum, {types.format("amproc")}),
                    jsonb_build_array(amprocnum, amproc::oid, amproclefttype, amprocrighttype)
                from pg_depend d join pg_amproc m on {belongs} = {CLASS_INDEX_FUNCTION}
            ) each) members"""


class _PerMethod(Kind):
    """What is addressed as ``name USING method``."""

    naming = Naming.SCHEMA

    def address(self, name: tuple[str, ...]) -> str:
        return f"{ident(*name[:2])} USING {ident(name[2])}"

    def privileged(self, entry: Entry) -> bool:
        return True


class OperatorFamilies(_PerMethod):
    """Operator families, with the members that are in none of their classes."""

    name = "operator family"
    classid = CLASS_OPERATOR_FAMILY
    held_in = "pg_opfamily where oid >= 16384"
    keyword = "OPERATOR FAMILY"
    rank = 63

    def query(self, version: int) -> str:
        return f"""
            select f.oid, array[n.nspname, f.opfname, a.amname] as name,
                json_strip_nulls(json_build_object('owner', pg_get_userbyid(f.opfowner), 'comment', comment.description)) as facts,
                members.definition, {stored_values("members.identities")} as stored,
                json_build_object('members', coalesce(members.keys, '[]')) as extra
            from pg_opfamily f join pg_namespace n on n.oid = f.opfnamespace join pg_am a on a.oid = f.opfmethod
            {_members(CLASS_OPERATOR_FAMILY, "f.oid")} {comment_on(CLASS_OPERATOR_FAMILY, "f.oid")}
            where f.opfnamespace = any(%(schemas)s)"""

    def rebuilds(self, then: Entry, now: Entry, scene: Scene) -> bool:
        return False

    def lets_go(self, now: Entry, needed: Entry) -> bool:
        return needed.kind != "access method"

    def loosen(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Statement]:
        if now.extra["members"] and not self._keeps_members(then, now, scene):
            yield Statement(f"ALTER {self.target(now)} DROP {', '.join(now.extra['members'])}")

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        yield self.action(then, f"CREATE {self.target(then)}", needs=())
        yield from self._members(then)

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        if not self._keeps_members(then, now, scene):
            yield from self._members(then)

    @staticmethod
    def _keeps_members(then: Entry, now: Entry, scene: Scene) -> bool:
        return scene.same_definition(then, now) and not any(map(scene.created, then.depends))

    def _members(self, then: Entry) -> Iterator[Action]:
        if then.definition:
            yield self.action(then, f"ALTER {self.target(then)} ADD {then.definition}", aspect="members")


class OperatorClasses(_PerMethod):
    """Operator classes."""

    name = "operator class"
    classid = CLASS_OPERATOR_CLASS
    held_in = "pg_opclass where oid >= 16384"
    keyword = "OPERATOR CLASS"
    rank = 64

    def query(self, version: int) -> str:
        return f"""
            select c.oid, array[n.nspname, c.opcname, a.amname] as name,
                json_strip_nulls(json_build_object('owner', pg_get_userbyid(c.opcowner), 'comment', comment.description)) as facts,
                concat(case when c.opcdefault then 'DEFAULT ' end, format('FOR TYPE %%s USING %%I FAMILY %%I.%%I AS ',
                    format_type(c.opcintype, null), a.amname, fn.nspname, f.opfname), concat_ws(', ', 'STORAGE ' || format_type(
                    coalesce(nullif(c.opckeytype, 0), case when members.definition is null then c.opcintype end), null),
                    members.definition)) as definition,
                {stored_values("c.opcfamily", "c.opcintype", "c.opcdefault", "c.opckeytype", "members.identities")} as stored
            from pg_opclass c join pg_namespace n on n.oid = c.opcnamespace join pg_am a on a.oid = c.opcmethod
            join pg_opfamily f on f.oid = c.opcfamily join pg_namespace fn on fn.oid = f.opfnamespace
            {_members(CLASS_OPERATOR_CLASS, "c.oid")} {comment_on(CLASS_OPERATOR_CLASS, "c.oid")}
            where c.opcnamespace = any(%(schemas)s)"""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        yield self.action(then, f"CREATE OPERATOR CLASS {ident(*then.name[:2])} {then.definition}")
