"""Aggregate functions."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_FUNCTION, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Naming, Scene
from rollback_provider.components.postgres.catalog.kinds.defined import Defined
from rollback_provider.components.postgres.catalog.sql_text import (
    comment_on,
    function,
    grants_of,
    ident,
    operator,
    stored_values,
)

_FUNCTIONS = {
    "SFUNC": "aggtransfn",
    "FINALFUNC": "aggfinalfn",
    "COMBINEFUNC": "aggcombinefn",
    "SERIALFUNC": "aggserialfn",
    "DESERIALFUNC": "aggdeserialfn",
    "MSFUNC": "aggmtransfn",
    "MINVFUNC": "aggminvtransfn",
    "MFINALFUNC": "aggmfinalfn",
}
_OTHERS = {
    "STYPE": "format_type(a.aggtranstype, null)",
    "SSPACE": "nullif(a.aggtransspace, 0)",
    "INITCOND": "quote_literal(a.agginitval)",
    "MSTYPE": "format_type(nullif(a.aggmtranstype, 0), null)",
    "MSSPACE": "nullif(a.aggmtransspace, 0)",
    "MINITCOND": "quote_literal(a.aggminitval)",
    "SORTOP": operator("a.aggsortop"),
}
_MODIFY = "case a.{} when 'r' then 'READ_ONLY' when 's' then 'SHAREABLE' else 'READ_WRITE' end"


class Aggregates(Defined):
    """Aggregates of all sorts. One that takes and gives the same types is replaced in place, so that what uses it stays."""

    name = "aggregate"
    classid = CLASS_FUNCTION
    held_in = "pg_proc where prokind = 'a' and oid >= 16384"
    keyword = "AGGREGATE"
    naming = Naming.SCHEMA
    acl = "FUNCTION"
    default_acl = "f"
    rank = 51

    def query(self, version: int) -> str:
        options = [f"'{option} = ' || {function(f'a.{column}')}" for option, column in _FUNCTIONS.items()]
        options += [f"'{option} = ' || {value}" for option, value in _OTHERS.items()]
        for prefix, letter in (("", ""), ("M", "m")):
            modify = f"'{prefix}FINALFUNC_MODIFY = ' || {_MODIFY.format(f'agg{letter}finalmodify')}"
            options.append(f"case when a.agg{letter}finalfn::oid <> 0 then {modify} end")
            options.append(f"case when a.agg{letter}finalextra then '{prefix}FINALFUNC_EXTRA' end")
        options += [
            "case a.aggkind when 'h' then 'HYPOTHETICAL' end",
            "'PARALLEL = ' || case p.proparallel when 's' then 'SAFE' when 'r' then 'RESTRICTED' end",
        ]
        functions = [f"a.{column}::oid" for column in _FUNCTIONS.values()]
        others = [
            *(
                "aggkind",
                "aggsortop",
                "aggtranstype",
                "aggtransspace",
                "agginitval",
                "aggmtranstype",
                "aggmtransspace",
                "aggminitval",
            ),
            *("aggfinalextra", "aggfinalmodify", "aggmfinalextra", "aggmfinalmodify"),
        ]
        return f"""
            select p.oid, array[n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)] as name,
                json_strip_nulls(json_build_object('owner', pg_get_userbyid(p.proowner), 'comment', comment.description,
                    {grants_of("p.proacl", "f", "p.proowner")})) as facts,
                '(' || concat_ws(', ', {", ".join(options)}) || ')' as definition,
                {stored_values(*functions, *(f"a.{column}" for column in others), "p.proparallel")} as stored,
                json_build_object('signature', json_build_array(
                    p.proargtypes::oid[], p.proargnames, p.prorettype, a.aggkind, a.aggnumdirectargs),
                    'types', (select coalesce(string_agg(format_type(type, null), ', ' order by number), '')
                              from unnest(p.proargtypes::oid[]) with ordinality types(type, number))) as extra
            from pg_proc p join pg_aggregate a on a.aggfnoid = p.oid join pg_namespace n on n.oid = p.pronamespace
            {comment_on(CLASS_FUNCTION, "p.oid")}
            where p.pronamespace = any(%(schemas)s)"""

    def address(self, name: tuple[str, ...]) -> str:
        return f"{ident(*name[:2])}({name[2] or '*'})"

    def granted(self, entry: Entry) -> str:
        return f"FUNCTION {ident(*entry.name[:2])}({entry.extra['types']})"

    def rebuilds(self, then: Entry, now: Entry, scene: Scene) -> bool:
        return super().rebuilds(then, now, scene) and then.extra["signature"] != now.extra["signature"]

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        if not scene.same_definition(then, now):
            yield self.action(then, f"CREATE OR REPLACE {self.target(then)} {then.definition}")
