"""Kinds that are not brought back: a difference in one of them is refused by name."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Scene


class Watched(Kind):
    """A kind of which only identity and content are read.

    :param plural: for the sentence that refuses
    :param body: everything after ``select``: oid, name, content (text in which other objects appear by name), and FROM …
    """

    owned = False
    reversible = False

    def __init__(self, name: str, classid: int, plural: str, body: str) -> None:
        self.name = name  # type: ignore[misc]
        self.classid = classid  # type: ignore[misc]
        self.plural = plural
        self._body = body

    def query(self, version: int) -> str:
        return f"select oid, name, json_build_object('content', content) as facts from (select {self._body}) watched"

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        return iter(())


WATCHED = (
    Watched(
        "operator family",
        2753,
        "operator families",
        """f.oid, array[n.nspname, f.opfname, m.amname] as name,
        concat_ws(' ', pg_get_userbyid(f.opfowner),
            (select string_agg(concat_ws(' ', o.amopstrategy, o.amopopr::regoperator), ', ' order by o.amoplefttype::regtype::text,
            o.amopstrategy)
             from pg_amop o where o.amopfamily = f.oid),
            (select string_agg(concat_ws(' ', p.amprocnum, p.amproc::regprocedure), ', ' order by p.amproclefttype::regtype::text,
            p.amprocnum)
             from pg_amproc p where p.amprocfamily = f.oid)) as content
        from pg_opfamily f join pg_namespace n on n.oid = f.opfnamespace join pg_am m on m.oid = f.opfmethod
        where f.opfnamespace = any(%(schemas)s)""",
    ),
    Watched(
        "operator class",
        2616,
        "operator classes",
        """c.oid, array[n.nspname, c.opcname, m.amname] as name,
        concat_ws(' ', c.opcintype::regtype, c.opcdefault, nullif(c.opckeytype, 0)::regtype, f.opfname,
            pg_get_userbyid(c.opcowner)) as content
        from pg_opclass c join pg_namespace n on n.oid = c.opcnamespace join pg_am m on m.oid = c.opcmethod
        join pg_opfamily f on f.oid = c.opcfamily where c.opcnamespace = any(%(schemas)s)""",
    ),
    Watched(
        "base type",
        1247,
        "base types",
        """t.oid, array[n.nspname, t.typname] as name,
        concat_ws(' ', t.typlen, t.typbyval, t.typcategory, t.typisdefined, t.typinput, t.typoutput,
            pg_get_userbyid(t.typowner)) as content
        from pg_type t join pg_namespace n on n.oid = t.typnamespace
        where t.typtype in ('b', 'p') and t.typnamespace = any(%(schemas)s)
            and not exists (select from pg_type e where e.typarray = t.oid)""",
    ),
    Watched(
        "text search parser",
        3601,
        "text search objects",
        """p.oid, array[n.nspname, p.prsname] as name, concat_ws(' ', p.prsstart, p.prstoken, p.prsend, p.prsheadline,
            p.prslextype) as content
        from pg_ts_parser p join pg_namespace n on n.oid = p.prsnamespace where p.prsnamespace = any(%(schemas)s)""",
    ),
    Watched(
        "text search template",
        3764,
        "text search objects",
        """t.oid, array[n.nspname, t.tmplname] as name, concat_ws(' ', t.tmplinit, t.tmpllexize) as content
        from pg_ts_template t join pg_namespace n on n.oid = t.tmplnamespace where t.tmplnamespace = any(%(schemas)s)""",
    ),
    Watched(
        "text search dictionary",
        3600,
        "text search objects",
        """d.oid, array[n.nspname, d.dictname] as name, concat_ws(' ', t.tmplname, d.dictinitoption,
            pg_get_userbyid(d.dictowner)) as content
        from pg_ts_dict d join pg_namespace n on n.oid = d.dictnamespace join pg_ts_template t on t.oid = d.dicttemplate
        where d.dictnamespace = any(%(schemas)s)""",
    ),
    Watched(
        "text search configuration",
        3602,
        "text search objects",
        """c.oid, array[n.nspname, c.cfgname] as name,
        concat_ws(' ', p.prsname, pg_get_userbyid(c.cfgowner), (select string_agg(concat_ws(' ', m.maptokentype, m.mapseqno,
            m.mapdict::regdictionary), ', '
            order by m.maptokentype, m.mapseqno) from pg_ts_config_map m where m.mapcfg = c.oid)) as content
        from pg_ts_config c join pg_namespace n on n.oid = c.cfgnamespace join pg_ts_parser p on p.oid = c.cfgparser
        where c.cfgnamespace = any(%(schemas)s)""",
    ),
    Watched(
        "subscription",
        6100,
        "subscriptions",
        """s.oid, array[s.subname] as name, concat_ws(' ', s.subenabled, s.subslotname, s.subpublications) as content
        from pg_subscription s
        where s.subdbid = (select oid from pg_database where datname = current_database()) and %(schemas)s::oid[] is not null""",
    ),
    Watched(
        "event trigger",
        3466,
        "event triggers",
        """e.oid, array[e.evtname] as name, concat_ws(' ', e.evtevent, e.evtfoid::regprocedure, e.evtenabled, e.evttags,
            pg_get_userbyid(e.evtowner)) as content
        from pg_event_trigger e where %(schemas)s::oid[] is not null""",
    ),
    Watched(
        "procedural language",
        2612,
        "procedural languages",
        """l.oid, array[l.lanname] as name, concat_ws(' ', l.lanpltrusted, nullif(l.lanplcallfoid, 0)::regprocedure, l.lanacl,
            pg_get_userbyid(l.lanowner)) as content
        from pg_language l where l.oid >= 16384 and %(schemas)s::oid[] is not null""",
    ),
    Watched(
        "transform",
        3576,
        "transforms",
        """t.oid, array[t.trftype::regtype::text, l.lanname] as name,
        concat_ws(' ', nullif(t.trffromsql, 0)::regprocedure, nullif(t.trftosql, 0)::regprocedure) as content
        from pg_transform t join pg_language l on l.oid = t.trflang where t.oid >= 16384 and %(schemas)s::oid[] is not null""",
    ),
    Watched(
        "access method",
        2601,
        "access methods",
        """a.oid, array[a.amname] as name, concat_ws(' ', a.amtype, a.amhandler) as content
        from pg_am a where a.oid >= 16384 and %(schemas)s::oid[] is not null""",
    ),
    Watched(
        "security label",
        3596,
        "security labels",
        """l.objoid as oid, array[pg_describe_object(l.classoid, l.objoid, l.objsubid), l.provider] as name, l.label as content
        from pg_seclabel l where %(schemas)s::oid[] is not null""",
    ),
)
