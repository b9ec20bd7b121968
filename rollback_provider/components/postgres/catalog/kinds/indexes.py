"""Indexes that are not behind a constraint."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_RELATION, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Phase, Scene
from rollback_provider.components.postgres.catalog.kinds.constraints import index_options
from rollback_provider.components.postgres.catalog.sql_text import comment_on, ident, stored_row
from rollback_provider.components.postgres.reversal import Statement

FLAGS = ("indexrelid", "indisvalid", "indcheckxmin", "indisready", "indislive", "indisclustered", "indisreplident")


class Indexes(Kind):
    """Indexes of tables and materialized views. What a broken CREATE INDEX CONCURRENTLY left behind is dropped like any other."""

    name = "index"
    classid = CLASS_RELATION
    keyword = "INDEX"
    naming = Naming.RELATION
    rank = 600
    owned = False
    altered = frozenset(
        {"clustered", "replica_identity", "options", "tablespace", "statistics", "inherited", "partitioned"}
    )

    def query(self, version: int) -> str:
        target = "attstattarget" if version >= 170000 else "nullif(attstattarget, -1)"
        return f"""
            select x.oid, json_build_array({CLASS_RELATION}, c.oid, 0) as parent, array[n.nspname, x.relname] as name,
                json_strip_nulls(json_build_object(
                    'comment', comment.description, 'table', c.relname, 'options', x.reloptions,
                    'invalid', nullif(not i.indisvalid and x.relkind = 'i', false),
                    'tablespace', (select spcname from pg_tablespace where oid = x.reltablespace),
                    'clustered', nullif(i.indisclustered, false), 'replica_identity', nullif(i.indisreplident, false),
                    'partitioned', nullif(x.relkind = 'I', false), 'inherited', nullif(h.inhparent is not null, false),
                    'statistics', (select json_object_agg(attnum, {target} order by attnum) from pg_attribute
                                   where attrelid = x.oid and {target} is not null))) as facts,
                pg_get_indexdef(x.oid) as definition,
                {stored_row("i", *FLAGS)} as stored,
                json_strip_nulls(json_build_object('table', json_build_array(json_build_array({CLASS_RELATION}, c.oid, 0)),
                    'parent', case when h.inhparent is not null then
                    json_build_array(json_build_array({CLASS_RELATION}, h.inhparent, 0)) end)) as refs,
                json_build_object('columns', i.indkey::int2[], 'keys', i.indnkeyatts, 'unique', i.indisunique, 'immediate', i.indimmediate,
                    'valid', i.indisvalid, 'partial', i.indpred is not null) as extra
            from pg_index i join pg_class x on x.oid = i.indexrelid join pg_class c on c.oid = i.indrelid
            join pg_namespace n on n.oid = c.relnamespace left join pg_inherits h on h.inhrelid = x.oid
            {comment_on(CLASS_RELATION, "x.oid")}
            where c.relkind in ('r', 'p', 'm') and c.relpersistence <> 't' and c.relnamespace = any(%(schemas)s)
                and not exists (
                    select from pg_constraint k where k.conindid = x.oid and k.contype in ('p', 'u', 'x') and k.conrelid = c.oid)"""

    def order(self, entry: Entry) -> int:
        # ATTACH PARTITION takes the oldest index that fits the parent's: what is the partition's own comes after.
        return self.rank - 1 if entry.facts.get("inherited") else self.rank

    def lock(self, entry: Entry) -> str:
        return f"AccessExclusive on {entry.schema}.{entry.facts['table']}"

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        table = then.parent if scene.recreated_table(then.parent) else None
        columns = then.extra["columns"]
        if table:
            phase = Phase.COMPLETE
        elif scene.collateral(then.ref) and not scene.refilled(then.parent, columns):
            phase = Phase.PREPARE
        else:
            phase = Phase.FINISH
        if then.facts.get("invalid"):
            scene.note(f"{then.label} was INVALID in the snapshot; it is built anew and will be valid")
        lock = f"Share on {then.schema}.{then.facts['table']}"
        yield self.action(then, then.definition, phase=phase, rank=self.order(then), table=table, lock=lock)
        yield from self._settings(then, None)
        for parent in then.refs.get("parent", ()):
            if entry := scene.then_entry(parent):
                text = f"ALTER INDEX {self.address(entry.name)} ATTACH PARTITION {self.address(then.name)}"
                yield self.action(then, text, aspect="attach", phase=Phase.FINISH, rank=690, needs=(parent,))

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        yield from index_options(self, then, now, self.address(then.name), "options")
        yield from self._settings(then, now)
        if then.refs.get("parent") and not scene.same(then, now, "inherited"):
            entry = scene.then_entry(then.refs["parent"][0])
            if entry:
                text = f"ALTER INDEX {self.address(entry.name)} ATTACH PARTITION {self.address(then.name)}"
                yield self.action(then, text, aspect="attach", phase=Phase.FINISH, rank=690, needs=then.refs["parent"])

    def _settings(self, then: Entry, now: Entry | None) -> Iterator[Action]:
        after = now.facts if now else {}
        options = {"phase": Phase.FINISH, "rank": 650, "needs": ()}
        index, head = self.address(then.name), f"ALTER TABLE {ident(then.schema, then.facts['table'])}"
        if then.facts.get("tablespace") != after.get("tablespace"):
            name = ident(then.facts.get("tablespace", "pg_default"))
            yield self.action(then, f"ALTER INDEX {index} SET TABLESPACE {name}", aspect="tablespace", **options)
        before, targets = then.facts.get("statistics", {}), after.get("statistics", {})
        if changed := {n: before.get(n, -1) for n in before.keys() | targets.keys() if before.get(n) != targets.get(n)}:
            parts = ", ".join(
                f"ALTER COLUMN {number} SET STATISTICS {target}" for number, target in sorted(changed.items())
            )
            yield self.action(then, f"ALTER INDEX {index} {parts}", aspect="statistics", **options)
        if then.facts.get("clustered") and not after.get("clustered"):
            yield self.action(then, f"{head} CLUSTER ON {ident(then.name[1])}", aspect="clustered", **options)
        if after.get("clustered") and not then.facts.get("clustered"):
            yield self.action(then, f"{head} SET WITHOUT CLUSTER", aspect="clustered", **{**options, "rank": 640})
        if then.facts.get("replica_identity") and not after.get("replica_identity"):
            text = f"{head} REPLICA IDENTITY USING INDEX {ident(then.name[1])}"
            yield self.action(then, text, aspect="replica identity", **{**options, "rank": 880})

    def drop(self, now: Entry, scene: Scene) -> tuple[Statement, ...]:
        return (Statement(f"DROP INDEX {self.address(now.name)}", self.lock(now)),)
