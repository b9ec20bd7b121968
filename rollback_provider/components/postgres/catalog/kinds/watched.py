"""Kinds that are not brought back: a difference in one of them is refused by name."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Scene


class Watched(Kind):
    """A kind of which only identity and content are read.

    :param plural: for the sentence that refuses
    :param held_in: what gives rows if there are any
    :param body: everything after ``select``: oid, name, content (text in which other objects appear by name), and FROM …
    """

    owned = False
    reversible = False

    def __init__(self, name: str, classid: int, plural: str, held_in: str, body: str) -> None:
        self.name = name  # type: ignore[misc]
        self.classid = classid  # type: ignore[misc]
        self.plural = plural
        self.held_in = held_in  # type: ignore[misc]
        self._body = body

    def query(self, version: int) -> str:
        return f"select oid, name, json_build_object('content', content) as facts from (select {self._body}) watched"

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        return iter(())


WATCHED = (
    Watched(
        "base type",
        1247,
        "base types",
        "pg_type t where typtype in ('b', 'p') and oid >= 16384 and not exists (select from pg_type e where e.typarray = t.oid)",
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
        "text search parsers",
        "pg_ts_parser where oid >= 16384",
        """p.oid, array[n.nspname, p.prsname] as name, concat_ws(' ', p.prsstart, p.prstoken, p.prsend, p.prsheadline,
            p.prslextype) as content
        from pg_ts_parser p join pg_namespace n on n.oid = p.prsnamespace where p.prsnamespace = any(%(schemas)s)""",
    ),
    Watched(
        "text search template",
        3764,
        "text search templates",
        "pg_ts_template where oid >= 16384",
        """t.oid, array[n.nspname, t.tmplname] as name, concat_ws(' ', t.tmplinit, t.tmpllexize) as content
        from pg_ts_template t join pg_namespace n on n.oid = t.tmplnamespace where t.tmplnamespace = any(%(schemas)s)""",
    ),
    Watched(
        "subscription",
        6100,
        "subscriptions",
        "pg_subscription where oid >= 16384",
        """s.oid, array[s.subname] as name, concat_ws(' ', s.subenabled, s.subslotname, s.subpublications) as content
        from pg_subscription s
        where s.subdbid = (select oid from pg_database where datname = current_database()) and %(schemas)s::oid[] is not null""",
    ),
    Watched(
        "security label",
        3596,
        "security labels",
        "pg_seclabel",
        """l.objoid as oid, array[pg_describe_object(l.classoid, l.objoid, l.objsubid), l.provider] as name, l.label as content
        from pg_seclabel l where %(schemas)s::oid[] is not null""",
    ),
)
