"""Sequences, those behind identity columns included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rollback_provider.components.postgres.catalog.entry import CLASS_RELATION, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Phase, Scene
from rollback_provider.components.postgres.catalog.sql_text import comment_on, grants_of, ident
from rollback_provider.components.postgres.reversal import Statement

OPTIONS = ("type", "start", "increment", "minimum", "maximum", "cache", "cycle")


class Sequences(Kind):
    """Sequences: options, ownership by a column. Values are data. The sequence of an identity column is made with the column."""

    name = "sequence"
    classid = CLASS_RELATION
    held_in = "pg_sequence where seqrelid >= 16384"
    keyword = "SEQUENCE"
    naming = Naming.RELATION
    default_acl = "S"
    acl = "SEQUENCE"
    rank = 20
    altered = frozenset({*OPTIONS, "owned_by", "identity", "unlogged"})

    def query(self, version: int) -> str:
        return f"""
            select c.oid, array[n.nspname, c.relname] as name,
                case when d.deptype = 'i' then json_build_array({CLASS_RELATION}, d.refobjid, d.refobjsubid) end as parent,
                json_strip_nulls(json_build_object(
                    'owner', pg_get_userbyid(c.relowner), 'comment', comment.description,
                    'type', format_type(s.seqtypid, null), 'start', s.seqstart, 'increment', s.seqincrement,
                    'minimum', s.seqmin, 'maximum', s.seqmax, 'cache', s.seqcache, 'cycle', s.seqcycle,
                    'unlogged', nullif(c.relpersistence = 'u', false), 'identity', nullif(d.deptype = 'i', false),
                    'owned_by', case when d.refobjid is not null then json_build_array(tn.nspname, t.relname, a.attname) end,
                    {grants_of("c.relacl", "s", "c.relowner")})) as facts,
                json_strip_nulls(json_build_object('owned_by', case when d.refobjid is not null
                    then json_build_array(json_build_array({CLASS_RELATION}, d.refobjid, d.refobjsubid)) end)) as refs
            from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_sequence s on s.seqrelid = c.oid
            left join pg_depend d on d.classid = {CLASS_RELATION} and d.objid = c.oid and d.objsubid = 0
                and d.refclassid = {CLASS_RELATION} and d.refobjsubid > 0 and d.deptype in ('a', 'i')
            left join pg_class t on t.oid = d.refobjid left join pg_namespace tn on tn.oid = t.relnamespace
            left join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
            {comment_on(CLASS_RELATION, "c.oid")}
            where c.relkind = 'S' and c.relpersistence <> 't' and c.relnamespace = any(%(schemas)s)"""

    def rebuilds(self, then: Entry, now: Entry, scene: Scene) -> bool:
        return False

    def lets_go(self, now: Entry, needed: Entry) -> bool:
        return True

    def loosen(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Statement]:
        if "owned_by" in now.facts and not now.facts.get("identity") and not scene.same(then, now, "owned_by"):
            yield Statement(f"ALTER {self.target(now)} OWNED BY NONE")

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        if then.facts.get("identity"):
            return
        unlogged = "UNLOGGED " if then.facts.get("unlogged") else ""
        needs = tuple(ref for ref in then.depends if ref not in then.refs.get("owned_by", ()))
        yield self.action(then, f"CREATE {unlogged}{self.target(then)} {sequence_options(then.facts)}", needs=needs)
        yield from self._owned_by(then)

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        if any(then.facts[option] != now.facts[option] for option in OPTIONS):
            yield self.action(then, f"ALTER {self.target(then)} {sequence_options(then.facts)}", aspect="options")
        if then.facts.get("unlogged") != now.facts.get("unlogged"):
            logged = "UNLOGGED" if then.facts.get("unlogged") else "LOGGED"
            yield self.action(then, f"ALTER {self.target(then)} SET {logged}", aspect="logged")
        owner = then.refs.get("owned_by", ())
        if not then.facts.get("identity") and (not scene.same(then, now, "owned_by") or any(map(scene.created, owner))):
            yield from self._owned_by(then, always=True)

    def _owned_by(self, then: Entry, *, always: bool = False) -> Iterator[Action]:
        column = then.facts.get("owned_by")
        if column or always:
            text = f"ALTER {self.target(then)} OWNED BY {ident(*column) if column else 'NONE'}"
            yield self.action(
                then,
                text,
                aspect="owned by",
                phase=Phase.FINISH if column else Phase.PREPARE,
                rank=970 if always else 850,
            )


def sequence_options(facts: dict[str, Any]) -> str:
    """Options as CREATE SEQUENCE takes them."""
    return (
        f"AS {facts['type']} INCREMENT BY {facts['increment']} MINVALUE {facts['minimum']} MAXVALUE {facts['maximum']} "
        f"START WITH {facts['start']} CACHE {facts['cache']} {'' if facts['cycle'] else 'NO '}CYCLE"
    )
