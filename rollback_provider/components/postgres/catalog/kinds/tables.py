"""Tables, partitioned and foreign ones included. Their columns, constraints and so on are kinds of their own."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import CLASS_FOREIGN_SERVER, CLASS_RELATION, CLASS_TYPE, Entry
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Phase, Scene
from rollback_provider.components.postgres.catalog.kinds.columns import column_definition, column_settings
from rollback_provider.components.postgres.catalog.kinds.foreign_options import (
    FACTS,
    changed_options,
    table_options_of,
    with_options,
)
from rollback_provider.components.postgres.catalog.sql_text import comment_on, grants_of, ident, refs_to
from rollback_provider.components.postgres.reversal import Statement


class Tables(Kind):
    """Tables, partitioned tables and foreign tables. One that is still there is never dropped and made again: it holds rows."""

    name = "table"
    classid = CLASS_RELATION
    keyword = "TABLE"
    naming = Naming.RELATION
    default_acl = "r"
    acl = "TABLE"
    rank = 100
    altered = frozenset(
        {
            "unlogged",
            "storage_parameters",
            "toast_options",
            "row_security",
            "force_row_security",
            "replica_identity",
            "inherits",
            "bound",
            "detaching",
            "tablespace",
            "of_type",
            *FACTS,
        }
    )

    def query(self, version: int) -> str:
        refs = refs_to(server=(CLASS_FOREIGN_SERVER, "s.oid"), of_type=(CLASS_TYPE, "c.reloftype"))
        return f"""
            select c.oid, array[n.nspname, c.relname] as name,
                json_strip_nulls(json_build_object(
                    'owner', pg_get_userbyid(c.relowner), 'comment', comment.description,
                    'unlogged', nullif(c.relpersistence = 'u', false), 'storage_parameters', c.reloptions,
                    'toast_options', (select reloptions from pg_class where oid = c.reltoastrelid),
                    'row_security', nullif(c.relrowsecurity, false), 'force_row_security', nullif(c.relforcerowsecurity, false),
                    'replica_identity', case when c.relreplident in ('n', 'f') and c.relkind <> 'f' then c.relreplident end,
                    'tablespace', (select spcname from pg_tablespace where oid = c.reltablespace),
                    'access_method', (select nullif(amname, 'heap') from pg_am where oid = c.relam),
                    'of_type', case when c.reloftype <> 0 then format_type(c.reloftype, null) end,
                    'server', s.srvname, {table_options_of("f.ftoptions")},
                    'partition_by', pg_get_partkeydef(c.oid), 'bound', pg_get_expr(c.relpartbound, c.oid), 'inherits', i.parents,
                    'detaching', nullif(i.detaching, false),
                    {grants_of("c.relacl", "r", "c.relowner")})) as facts,
                ({refs})::jsonb || json_strip_nulls(json_build_object('inherits', i.refs))::jsonb as refs,
                json_build_object('relkind', c.relkind, 'filenode', c.relfilenode::int8) as extra
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            left join (select inhrelid, json_agg(json_build_array(pn.nspname, p.relname) order by inhseqno) as parents,
                              json_agg(json_build_array({CLASS_RELATION}, p.oid, 0) order by inhseqno) as refs,
                              bool_or(inhdetachpending) as detaching
                       from pg_inherits join pg_class p on p.oid = inhparent join pg_namespace pn on pn.oid = p.relnamespace
                       where p.relkind in ('r', 'p', 'f') group by inhrelid) i on i.inhrelid = c.oid
            left join pg_foreign_table f on f.ftrelid = c.oid left join pg_foreign_server s on s.oid = f.ftserver
            {comment_on(CLASS_RELATION, "c.oid")}
            where c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't' and c.relnamespace = any(%(schemas)s)"""

    def target(self, entry: Entry) -> str:
        return f"{'FOREIGN ' if 'server' in entry.facts else ''}TABLE {self.address(entry.name)}"

    def lock(self, entry: Entry) -> str:
        return f"AccessExclusive on {'.'.join(entry.name)}"

    def rebuilds(self, then: Entry, now: Entry, scene: Scene) -> bool:
        return False

    def lets_go(self, now: Entry, needed: Entry) -> bool:
        return needed.kind == "table" or needed.ref in now.refs.get("of_type", ())

    def loosen(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Statement]:
        if "of_type" in now.facts and not self._keeps_type(then, now, scene):
            yield Statement(f"ALTER TABLE {self.address(now.name)} NOT OF", self.lock(now))
        if not now.facts.get("inherits") or self._attached(then, now, scene):
            return
        yield from detach(now)
        for parent in now.facts["inherits"] if "bound" not in now.facts else ():
            yield Statement(f"ALTER TABLE {self.address(now.name)} NO INHERIT {ident(*parent)}", self.lock(now))

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        facts = then.facts
        inherits = facts.get("inherits", []) if "bound" not in facts else []
        columns = sorted(scene.then_children(then.ref, "column"), key=lambda column: column.ref[2])
        body = ", ".join(
            column_definition(column, scene) for column in columns if not inherits or not column.extra.get("inherited")
        )
        text = f"CREATE {'UNLOGGED ' if facts.get('unlogged') else ''}{self.target(then)} ({body})"
        text += f" INHERITS ({', '.join(ident(*parent) for parent in inherits)})" if inherits else ""
        text += f" PARTITION BY {facts['partition_by']}" if "partition_by" in facts else ""
        text += f" USING {ident(facts['access_method'])}" if "access_method" in facts else ""
        options = [
            *facts.get("storage_parameters", ()),
            *(f"toast.{option}" for option in facts.get("toast_options", ())),
        ]
        text += f" WITH ({', '.join(map(_option, options))})" if options else ""
        text += f" TABLESPACE {ident(facts['tablespace'])}" if "tablespace" in facts else ""
        text += f" SERVER {ident(facts['server'])}{with_options(then, scene)}" if "server" in facts else ""
        settings = [setting for column in columns for setting in column_settings(column)]
        if settings:
            settings = [f"ALTER TABLE {self.address(then.name)} {', '.join(settings)}"]
        if "of_type" in facts:
            settings.append(f"ALTER TABLE {self.address(then.name)} OF {facts['of_type']}")
        needs = {ref for entry in (then, *columns) for ref in entry.depends if ref[:2] != then.ref[:2]}
        if "bound" in facts:
            needs.difference_update(then.refs["inherits"])
        yield self.action(
            then,
            text,
            *settings,
            phase=Phase.CREATE,
            needs=tuple(sorted(needs)),
            table=then.ref,
            lock="",
            provides=tuple(column.ref for column in columns),
        )
        if "bound" in facts:
            yield self._attach(then)
        yield from self._security(then, None)

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        for fact in sorted(self.differing(then, now, scene) - self.altered):
            scene.refuse(
                f"{then.label} has another {fact.replace('_', ' ')} than before: it would have to be made anew"
            )
        if not scene.same(then, now, "unlogged"):
            yield self.action(
                then,
                f"ALTER {self.target(then)} SET {'UNLOGGED' if then.facts.get('unlogged') else 'LOGGED'}",
                aspect="logged",
                needs=(),
            )
        if options := changed_options(then, now, scene):
            yield self.action(then, f"ALTER {self.target(then)}{options}", aspect="foreign options", needs=())
        for fact, prefix in (("storage_parameters", ""), ("toast_options", "toast.")):
            yield from self._options(then, now, fact, prefix)
        if not scene.same(then, now, "tablespace"):
            tablespace = ident(then.facts.get("tablespace", "pg_default"))
            yield self.action(
                then,
                f"ALTER {self.target(then)} SET TABLESPACE {tablespace}",
                aspect="tablespace",
                phase=Phase.FINISH,
                needs=(),
            )
        yield from self._security(then, now)
        yield from self._of_type(then, now, scene)
        if not self._attached(then, now, scene):
            yield from self._parents(then, scene)

    def _parents(self, then: Entry, scene: Scene) -> Iterator[Action]:
        if "bound" in then.facts:
            yield self._attach(then)
            return
        for column in scene.then_children(then.ref, "column") if "inherits" in then.facts else ():
            if column.extra.get("inherited"):
                scene.note(
                    f"{column.label} is defined in the table itself as well, since it was cut off from its parent"
                )
        for parent, ref in zip(then.facts.get("inherits", ()), then.refs.get("inherits", ()), strict=True):
            yield self.action(
                then,
                f"ALTER TABLE {self.address(then.name)} INHERIT {ident(*parent)}",
                aspect=f"inherit {parent}",
                phase=Phase.FINISH,
                rank=480,
                needs=(ref,),
            )

    def _of_type(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        if "of_type" not in then.facts or self._keeps_type(then, now, scene):
            return
        columns = sorted(scene.then_children(then.ref, "column"), key=lambda column: column.ref[2])
        back = [scene.created(column.ref) for column in columns]
        if back != sorted(back):
            scene.refuse(
                f"{then.label} is OF {then.facts['of_type']}, whose order its columns must have: a dropped one would come back last"
            )
        text = f"ALTER TABLE {self.address(then.name)} OF {then.facts['of_type']}"
        yield self.action(then, text, aspect="of type", rank=190, needs=then.refs["of_type"])

    @staticmethod
    def _keeps_type(then: Entry, now: Entry, scene: Scene) -> bool:
        return scene.same(then, now, "of_type") and not any(map(scene.created, then.refs.get("of_type", ())))

    @staticmethod
    def _attached(then: Entry, now: Entry, scene: Scene) -> bool:
        """Whether it belongs to the parents it had, and in the same way."""
        return all(scene.same(then, now, fact) for fact in ("inherits", "bound", "detaching"))

    def _attach(self, then: Entry) -> Action:
        parent = ident(*then.facts["inherits"][0])
        return self.action(
            then,
            f"ALTER TABLE {parent} ATTACH PARTITION {self.address(then.name)} {then.facts['bound']}",
            aspect="attach",
            phase=Phase.FINISH,
            rank=480,
            needs=then.refs["inherits"],
            lock=f"ShareUpdateExclusive on {'.'.join(then.facts['inherits'][0])}, AccessExclusive on {'.'.join(then.name)}",
        )

    def _options(self, then: Entry, now: Entry, fact: str, prefix: str) -> Iterator[Action]:
        before, after = (dict(option.split("=", 1) for option in entry.facts.get(fact, ())) for entry in (then, now))
        parts = []
        if gone := sorted(after.keys() - before.keys()):
            parts.append(f"RESET ({', '.join(prefix + name for name in gone)})")
        if changed := [f"{prefix}{name}={value}" for name, value in before.items() if after.get(name) != value]:
            parts.append(f"SET ({', '.join(map(_option, changed))})")
        if parts:
            lock = f"ShareUpdateExclusive on {'.'.join(then.name)}"
            yield self.action(
                then, f"ALTER TABLE {self.address(then.name)} {', '.join(parts)}", aspect=fact, needs=(), lock=lock
            )

    def _security(self, then: Entry, now: Entry | None) -> Iterator[Action]:
        after = now.facts if now else {}
        parts = []
        for fact, on, off in (
            ("row_security", "ENABLE ROW LEVEL SECURITY", "DISABLE ROW LEVEL SECURITY"),
            ("force_row_security", "FORCE ROW LEVEL SECURITY", "NO FORCE ROW LEVEL SECURITY"),
        ):
            if then.facts.get(fact) != after.get(fact):
                parts.append(on if then.facts.get(fact) else off)
        identity = then.facts.get("replica_identity")
        if identity != after.get("replica_identity"):
            parts.append(f"REPLICA IDENTITY {({'n': 'NOTHING', 'f': 'FULL', None: 'DEFAULT'})[identity]}")
        if parts:
            text = f"ALTER TABLE {self.address(then.name)} {', '.join(parts)}"
            yield self.action(then, text, aspect="security", phase=Phase.FINISH, rank=870, needs=())


def detach(partition: Entry) -> Iterator[Statement]:
    """Takes a partition out of its parent; nothing for other tables. What refers to it through the parent would keep it otherwise."""
    if "bound" in partition.facts:
        parent = partition.facts["inherits"][0]
        lock = f"AccessExclusive on {'.'.join(partition.name)}, {'.'.join(parent)}"
        ending = (
            " FINALIZE" if partition.facts.get("detaching") else ""
        )  # of a DETACH … CONCURRENTLY that was interrupted
        yield Statement(f"ALTER TABLE {ident(*parent)} DETACH PARTITION {ident(*partition.name)}{ending}", lock)


def _option(option: str) -> str:
    name, _, value = option.partition("=")
    return f"{name}='{value.replace(chr(39), chr(39) * 2)}'"
