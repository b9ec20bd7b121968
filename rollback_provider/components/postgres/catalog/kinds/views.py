"""Views and materialized views."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_RELATION, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Phase, Scene
from rollback_provider.components.postgres.catalog.sql_text import (
    comment_on,
    grants_of,
    ident,
    idents,
    listed,
    privileges_in,
    stored,
)


class Views(Kind):
    """Views. A changed one is dropped and made again, with what needs it: CREATE OR REPLACE cannot take columns away."""

    name = "view"
    classid = CLASS_RELATION
    held_in = "pg_class where relkind = 'v' and oid >= 16384"
    keyword = "VIEW"
    naming = Naming.RELATION
    default_acl = "r"
    acl = "TABLE"
    rank = 300
    relkind = "v"

    def query(self, version: int) -> str:
        return f"""
            select c.oid, array[n.nspname, c.relname] as name,
                json_strip_nulls(json_build_object(
                    'owner', pg_get_userbyid(c.relowner), 'comment', comment.description, 'columns', a.names, 'options', c.reloptions,
                    'column_comments', a.comments, 'column_grants', a.grants,
                    'unpopulated', nullif(not c.relispopulated and c.relkind = 'm', false),
                    'tablespace', (select spcname from pg_tablespace where oid = c.reltablespace),
                    {grants_of("c.relacl", "r", "c.relowner")})) as facts,
                pg_get_viewdef(c.oid) as definition, {stored("r.ev_action")} as stored
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            join pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
            cross join lateral (
                select json_agg(attname order by attnum) as names,
                    (select json_object_agg(attname, comment.description order by attnum)
                     from pg_attribute b {comment_on(CLASS_RELATION, "b.attrelid", "b.attnum")}
                     where b.attrelid = c.oid and comment.description is not null) as comments,
                    (select json_object_agg(attname, ({listed(privileges_in("b.attacl"))}) order by attnum)
                     from pg_attribute b where b.attrelid = c.oid and b.attacl is not null and b.attacl <> '{{}}') as grants
                from pg_attribute where attrelid = c.oid and attnum > 0) a
            {comment_on(CLASS_RELATION, "c.oid")}
            where c.relkind = '{self.relkind}' and c.relpersistence <> 't' and c.relnamespace = any(%(schemas)s)"""

    def lock(self, entry: Entry) -> str:
        return f"AccessExclusive on {'.'.join(entry.name)}"

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        options = f" WITH ({', '.join(then.facts['options'])})" if "options" in then.facts else ""
        names = idents(then.facts.get("columns", ()))
        text = f"CREATE VIEW {self.address(then.name)}{f' ({names})' if names else ''}{options} AS {then.definition.rstrip(';')}"
        yield self.action(then, text, lock="")


class MaterializedViews(Views):
    """Materialized views. They are filled again when all rows are back."""

    name = "materialized view"
    keyword = "MATERIALIZED VIEW"
    rank = 750
    relkind = "m"
    held_in = "pg_class where relkind = 'm' and oid >= 16384"

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        options = f" WITH ({', '.join(then.facts['options'])})" if "options" in then.facts else ""
        tablespace = f" TABLESPACE {ident(then.facts['tablespace'])}" if "tablespace" in then.facts else ""
        names = idents(then.facts.get("columns", ()))
        data = "WITH NO DATA" if then.facts.get("unpopulated") else "WITH DATA"
        head = (
            f"CREATE MATERIALIZED VIEW {self.address(then.name)}{f' ({names})' if names else ''}{options}{tablespace}"
        )
        text = f"{head} AS {then.definition.rstrip(';')} {data}"
        yield self.action(then, text, phase=Phase.FINISH, lock="")
