"""Constraints of tables. The index behind a key is a part of the constraint."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_CONSTRAINT, CLASS_RELATION, Entry, Ref
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Phase, Scene
from rollback_provider.components.postgres.catalog.sql_text import comment_on, ident, stored_row
from rollback_provider.components.postgres.reversal import Statement

INDEXED = frozenset("pux")
_BEFORE_ATTACH = 470
RANKS = {"n": 420, "p": 500, "u": 510, "x": 520, "c": 530, "f": 700}


class Constraints(Kind):
    """Primary keys, unique, exclusion, check and foreign keys, and from PostgreSQL 18 on NOT NULL.

    Checks and foreign keys of tables with rows come back NOT VALID and are validated in a statement of their own, which does not block
    writes. Those of partitions follow the parent's.
    """

    name = "constraint"
    classid = CLASS_CONSTRAINT
    keyword = "CONSTRAINT"
    naming = Naming.TABLE
    rank = 500
    owned = False
    altered = frozenset({"clustered", "replica_identity", "index_options", "index_tablespace", "attached"})

    def query(self, version: int) -> str:
        enforced = "conenforced" if version >= 180000 else "true"
        return f"""
            select k.oid, json_build_array({CLASS_RELATION}, c.oid, 0) as parent, array[n.nspname, c.relname, k.conname] as name,
                json_strip_nulls(json_build_object(
                    'comment', comment.description, 'type', k.contype, 'valid', k.convalidated,
                    'attached', nullif(k.conparentid <> 0, false),
                    'index_options', x.reloptions, 'index_tablespace', (select spcname from pg_tablespace where oid = x.reltablespace),
                    'clustered', nullif(i.indisclustered, false), 'replica_identity', nullif(i.indisreplident, false))) as facts,
                pg_get_constraintdef(k.oid) as definition,
                {stored_row("k", "conname", "connamespace", "conindid", "conparentid", "coninhcount", "conislocal")} as stored,
                json_strip_nulls(json_build_object('references', case when k.contype = 'f' then
                    json_build_array(json_build_array({CLASS_RELATION}, k.confrelid, 0)) end,
                    'parent', case when k.conparentid <> 0 then
                    json_build_array(json_build_array({CLASS_CONSTRAINT}, k.conparentid, 0)) end)) as refs,
                json_strip_nulls(json_build_object('columns', k.conkey, 'referenced', k.confkey, 'index', nullif(k.conindid, 0)::int8,
                    'inherited', nullif(k.conparentid <> 0 or k.coninhcount > 0 and not k.conislocal, false),
                    'enforced', {enforced}, 'deferrable', k.condeferrable, 'partitioned', nullif(c.relkind = 'p', false),
                    'to_partitioned', nullif((select relkind = 'p' from pg_class where oid = k.confrelid), false))) as extra
            from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
            left join pg_class x on x.oid = k.conindid and k.contype in ('p', 'u', 'x') left join pg_index i on i.indexrelid = x.oid
            {comment_on(CLASS_CONSTRAINT, "k.oid")}
            where k.contype in ('p', 'u', 'x', 'c', 'f', 'n') and c.relkind in ('r', 'p', 'f') and c.relnamespace = any(%(schemas)s)"""

    def target(self, entry: Entry) -> str:
        return f"CONSTRAINT {ident(entry.name[2])} ON {ident(*entry.name[:2])}"

    def order(self, entry: Entry) -> int:
        return RANKS[entry.facts["type"]]

    def lock(self, entry: Entry) -> str:
        return f"AccessExclusive on {'.'.join(entry.name[:2])}"

    def rebuilds(self, then: Entry, now: Entry, scene: Scene) -> bool:
        if then.facts["type"] == "n":
            changed = then.definition.endswith(" NO INHERIT") != now.definition.endswith(" NO INHERIT")
            emptied = scene.refilled(then.parent, then.extra["columns"])
            return (
                changed
                or emptied
                or not scene.same_needs(then, now)
                or (now.facts["valid"] and not then.facts["valid"])
            )
        if now.facts["valid"] != then.facts["valid"]:
            return bool(now.facts["valid"])
        return super().rebuilds(then, now, scene)

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        table = then.parent if scene.recreated_table(then.parent) else None
        if self._implied(then, table, scene):
            return
        kind, cut_off = then.facts["type"], self._cut_off(then, scene)
        rank = min(self.order(then), _BEFORE_ATTACH) if cut_off else self.order(then)
        phase = self._phase(then, table, scene)
        only = "ONLY " if kind in INDEXED and then.extra.get("partitioned") else ""
        head = f"ALTER TABLE {only}{ident(*then.name[:2])} ADD CONSTRAINT {ident(then.name[2])}"
        definition = then.definition.removesuffix(" NOT VALID")
        if self._in_two_steps(then, table, scene):
            yield self.action(
                then,
                f"{head} {definition} NOT VALID",
                phase=phase,
                lock=self._create_lock(then, scene),
                table=table,
                rank=rank,
            )
            if then.facts["valid"]:
                at_once = kind == "n" or cut_off
                yield self._validate(
                    then, scene, phase=phase if at_once else Phase.FINISH, rank=rank if at_once else 800
                )
        else:
            yield self.action(
                then,
                f"{head} {then.definition}",
                phase=phase,
                lock=self._create_lock(then, scene),
                table=table,
                rank=rank,
            )
        yield from self._index(then, None, table)
        for parent in then.refs.get("parent", ()):
            entry = scene.then_entry(parent)
            if kind in INDEXED and entry and (scene.created(parent) or scene.created(then.ref)):
                text = f"ALTER INDEX {ident(entry.schema, entry.name[2])} ATTACH PARTITION {ident(then.schema, then.name[2])}"
                yield self.action(then, text, aspect="attach", phase=Phase.FINISH, rank=560, needs=(parent,))

    def drop(self, now: Entry, scene: Scene) -> tuple[Statement, ...]:
        lock = self.lock(now)
        if now.facts["type"] == "f" and (target := scene.now_entry(now.refs["references"][0])):
            lock = f"{lock}, {'.'.join(target.name)}"
        return (Statement(f"ALTER TABLE {ident(*now.name[:2])} DROP CONSTRAINT {ident(now.name[2])}", lock),)

    def rename(self, now: Entry, name: tuple[str, ...], new: str) -> Statement:
        text = f"ALTER TABLE {ident(*name[:2])} RENAME CONSTRAINT {ident(name[2])} TO {ident(new)}"
        return Statement(text, self.lock(now))

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        if then.facts["valid"] and not now.facts["valid"]:
            yield self._validate(then, scene, phase=Phase.FINISH, rank=800)
        yield from self._index(then, now, None)

    def _phase(self, then: Entry, table: Ref | None, scene: Scene) -> Phase:
        if table:
            return Phase.COMPLETE if then.facts["type"] != "f" else Phase.FINISH
        if scene.collateral(then.ref) and not scene.refilled(then.parent, then.extra.get("columns", ())):
            return Phase.PREPARE
        return Phase.FINISH

    def _implied(self, then: Entry, table: Ref | None, scene: Scene) -> bool:
        """Whether the table's, the column's or the parent's definition makes it already."""
        kind, partition = then.facts["type"], False
        if table:
            entry = scene.then_entry(table)
            partition = entry is not None and "bound" in entry.facts
            if kind == "n":
                return then.facts["valid"] or (not partition and bool(then.extra.get("inherited")))
        if not then.extra.get("inherited") or (kind in "nc" and self._cut_off(then, scene)):
            return False
        return kind not in INDEXED and not (table and partition and kind == "c")

    @staticmethod
    def _cut_off(then: Entry, scene: Scene) -> bool:
        """Whether it has its parent's constraint, and its table is to be attached to the parent again, which asks for that."""
        if not then.extra.get("inherited") or then.parent is None:
            return False
        before, after = scene.then_entry(then.parent), scene.now_entry(then.parent)
        if before is None or after is None:
            return False
        return not all(scene.same(before, after, fact) for fact in ("inherits", "bound", "detaching"))

    def _in_two_steps(self, then: Entry, table: Ref | None, scene: Scene) -> bool:
        kind = then.facts["type"]
        if kind not in "cfn" or not then.extra["enforced"]:
            return False
        if (
            kind == "f"
            and scene.version < 180000
            and any(then.extra.get(key) for key in ("partitioned", "to_partitioned"))
        ):
            return False
        return kind == "f" or not then.facts["valid"] or table is None

    def _create_lock(self, then: Entry, scene: Scene) -> str:
        if then.facts["type"] == "f":
            return f"ShareRowExclusive on {'.'.join(then.name[:2])}, {self._referenced(then, scene)}"
        return self.lock(then)

    @staticmethod
    def _referenced(then: Entry, scene: Scene) -> str:
        target = scene.then_entry(then.refs["references"][0])
        return ".".join(target.name) if target else "the table that it references"

    def _validate(self, then: Entry, scene: Scene, *, phase: Phase, rank: int) -> Action:
        lock = f"ShareUpdateExclusive on {'.'.join(then.name[:2])}"
        if then.facts["type"] == "f":
            lock += f", RowShare on {self._referenced(then, scene)}"
        text = f"ALTER TABLE {ident(*then.name[:2])} VALIDATE CONSTRAINT {ident(then.name[2])}"
        return self.action(then, text, aspect="validate", phase=phase, rank=rank, lock=lock)

    def _index(self, then: Entry, now: Entry | None, table: Ref | None) -> Iterator[Action]:
        after = now.facts if now else {}
        options = {"phase": Phase.FINISH, "rank": 550, "needs": ()}
        index, head = ident(then.schema, then.name[2]), f"ALTER TABLE {ident(*then.name[:2])}"
        if then.facts.get("index_options") != after.get("index_options"):
            yield from index_options(self, then, now, index, "index_options")
        if then.facts.get("index_tablespace") != after.get("index_tablespace"):
            name = ident(then.facts.get("index_tablespace", "pg_default"))
            yield self.action(then, f"ALTER INDEX {index} SET TABLESPACE {name}", aspect="tablespace", **options)
        if then.facts.get("clustered") and not after.get("clustered"):
            yield self.action(then, f"{head} CLUSTER ON {ident(then.name[2])}", aspect="clustered", **options)
        if after.get("clustered") and not then.facts.get("clustered"):
            yield self.action(then, f"{head} SET WITHOUT CLUSTER", aspect="clustered", **{**options, "rank": 540})
        if then.facts.get("replica_identity") and not after.get("replica_identity"):
            text = f"{head} REPLICA IDENTITY USING INDEX {ident(then.name[2])}"
            yield self.action(then, text, aspect="replica identity", **{**options, "rank": 880})


def index_options(kind: Kind, then: Entry, now: Entry | None, index: str, fact: str) -> Iterator[Action]:
    """Brings the storage parameters of an index back."""
    before = dict(option.split("=", 1) for option in then.facts.get(fact, ()))
    after = dict(option.split("=", 1) for option in now.facts.get(fact, ())) if now else {}
    parts = []
    if gone := sorted(after.keys() - before.keys()):
        parts.append(f"ALTER INDEX {index} RESET ({', '.join(gone)})")
    if changed := [f"{name}={value}" for name, value in before.items() if after.get(name) != value]:
        parts.append(f"ALTER INDEX {index} SET ({', '.join(changed)})")
    if parts:
        lock = f"ShareUpdateExclusive on {index}"
        yield kind.action(then, *parts, aspect="options", phase=Phase.FINISH, rank=550, needs=(), lock=lock)
