"""Text search dictionaries and configurations. Parsers and templates take a superuser and C code: they are only watched."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import (
    CLASS_TEXT_CONFIGURATION,
    CLASS_TEXT_DICTIONARY,
    CLASS_TEXT_PARSER,
    CLASS_TEXT_TEMPLATE,
    Entry,
)
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Scene
from rollback_provider.components.postgres.catalog.sql_text import comment_on, refs_to, stored
from rollback_provider.components.postgres.reversal import Statement

_OPTION = re.compile(r"""("(?:[^"]|"")+"|\w+) = (E?'(?:[^']|'')*'|[^,]+)""")


class Dictionaries(Kind):
    """Dictionaries. Options are altered in place, so that configurations and indexes that use one stay."""

    name = "text search dictionary"
    classid = CLASS_TEXT_DICTIONARY
    held_in = "pg_ts_dict where oid >= 16384"
    keyword = "TEXT SEARCH DICTIONARY"
    naming = Naming.SCHEMA
    rank = 60
    altered = frozenset({"options"})

    def query(self, version: int) -> str:
        return f"""
            select d.oid, array[n.nspname, d.dictname] as name,
                json_strip_nulls(json_build_object('owner', pg_get_userbyid(d.dictowner), 'comment', comment.description,
                    'template', quote_ident(tn.nspname) || '.' || quote_ident(t.tmplname), 'options', d.dictinitoption)) as facts,
                {refs_to(template=(CLASS_TEXT_TEMPLATE, "t.oid"))} as refs
            from pg_ts_dict d join pg_namespace n on n.oid = d.dictnamespace join pg_ts_template t on t.oid = d.dicttemplate
            join pg_namespace tn on tn.oid = t.tmplnamespace {comment_on(CLASS_TEXT_DICTIONARY, "d.oid")}
            where d.dictnamespace = any(%(schemas)s)"""

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        options = f", {then.facts['options']}" if "options" in then.facts else ""
        yield self.action(then, f"CREATE {self.target(then)} (TEMPLATE = {then.facts['template']}{options})")

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        before, after = (dict(_OPTION.findall(entry.facts.get("options", ""))) for entry in (then, now))
        changed = [f"{name} = {value}" for name, value in before.items() if after.get(name) != value]
        gone = sorted(after.keys() - before.keys())
        if changed or gone:
            yield self.action(then, f"ALTER {self.target(then)} ({', '.join([*gone, *changed])})", aspect="options")


class Configurations(Kind):
    """Configurations: the parser, and the dictionaries that each sort of token goes through."""

    name = "text search configuration"
    classid = CLASS_TEXT_CONFIGURATION
    held_in = "pg_ts_config where oid >= 16384"
    keyword = "TEXT SEARCH CONFIGURATION"
    naming = Naming.SCHEMA
    rank = 61

    def query(self, version: int) -> str:
        return f"""
            select c.oid, array[n.nspname, c.cfgname] as name,
                json_strip_nulls(json_build_object('owner', pg_get_userbyid(c.cfgowner), 'comment', comment.description,
                    'parser', quote_ident(pn.nspname) || '.' || quote_ident(p.prsname))) as facts,
                {refs_to(parser=(CLASS_TEXT_PARSER, "p.oid"))} as refs,
                m.definition, m.stored, json_build_object('tokens', coalesce(m.tokens, '[]')) as extra
            from pg_ts_config c join pg_namespace n on n.oid = c.cfgnamespace join pg_ts_parser p on p.oid = c.cfgparser
            join pg_namespace pn on pn.oid = p.prsnamespace
            cross join lateral (
                select string_agg(format('%%I WITH %%s', alias, dictionaries), E'\\n' order by alias) as definition,
                    {stored("json_agg(json_build_array(tokid, oids) order by tokid)")} as stored,
                    json_agg(quote_ident(alias) order by alias) as tokens
                from ts_token_type(c.cfgparser) cross join lateral (
                    select string_agg(mapdict::regdictionary::text, ', ' order by mapseqno) as dictionaries,
                        json_agg(mapdict order by mapseqno) as oids
                    from pg_ts_config_map where mapcfg = c.oid and maptokentype = tokid) mapped
                where dictionaries is not null) m
            {comment_on(CLASS_TEXT_CONFIGURATION, "c.oid")}
            where c.cfgnamespace = any(%(schemas)s)"""

    def rebuilds(self, then: Entry, now: Entry, scene: Scene) -> bool:
        return not scene.same(then, now, "parser")

    def lets_go(self, now: Entry, needed: Entry) -> bool:
        return needed.kind == "text search dictionary"

    def loosen(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Statement]:
        if now.extra["tokens"] and not self._keeps_mappings(then, now, scene):
            yield Statement(f"ALTER {self.target(now)} DROP MAPPING FOR {', '.join(now.extra['tokens'])}")

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        text = f"CREATE {self.target(then)} (PARSER = {then.facts['parser']})"
        yield self.action(then, text, *self._mappings(then))

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        if then.definition and not self._keeps_mappings(then, now, scene):
            yield self.action(then, *self._mappings(then), aspect="mappings")

    @staticmethod
    def _keeps_mappings(then: Entry, now: Entry, scene: Scene) -> bool:
        return scene.same_definition(then, now) and not any(map(scene.created, then.depends))

    def _mappings(self, then: Entry) -> Iterator[str]:
        return (f"ALTER {self.target(then)} ADD MAPPING FOR {mapping}" for mapping in then.definition.splitlines())
