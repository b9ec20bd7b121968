"""Columns of tables. Their defaults are a kind of their own, because they need what the table does not."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import (
    CLASS_COLLATION,
    CLASS_DEFAULT,
    CLASS_RELATION,
    CLASS_TYPE,
    Entry,
)
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Naming, Phase, Scene
from rollback_provider.components.postgres.catalog.kinds.foreign_options import (
    FACTS,
    changed_options,
    table_options_of,
    with_options,
)
from rollback_provider.components.postgres.catalog.kinds.sequences import sequence_options
from rollback_provider.components.postgres.catalog.sql_text import comment_on, grants_of, ident, refs_to, stored
from rollback_provider.components.postgres.reversal import Statement

STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}
COMPRESSION = {"p": "pglz", "l": "lz4"}
NAMED_NOT_NULL = 180000
"""From this version on NOT NULL is a constraint with a name; see constraints."""


class Columns(Kind):
    """Columns. One that is gone is added again, last and nullable; one whose type differs is converted, see conversion."""

    name = "column"
    classid = CLASS_RELATION
    keyword = "COLUMN"
    naming = Naming.TABLE
    acl = "COLUMN"
    rank = 120
    owned = False
    altered = frozenset(
        {
            "type",
            "array",
            "typmod",
            "collation",
            "not_null",
            "identity",
            "storage",
            "compression",
            "statistics",
            "attribute_options",
            *FACTS,
        }
    )

    def query(self, version: int) -> str:
        statistics = "a.attstattarget" if version >= 170000 else "nullif(a.attstattarget, -1)"
        collation = "nullif(a.attcollation, t.typcollation)"
        refs = refs_to(type=(CLASS_TYPE, "coalesce(e.oid, t.oid)"), collation=(CLASS_COLLATION, collation))
        return f"""
            select c.oid, a.attnum as sub, json_build_array({CLASS_RELATION}, c.oid, 0) as parent,
                array[n.nspname, c.relname, a.attname] as name,
                json_strip_nulls(json_build_object(
                    'comment', comment.description, 'type', format_type(a.atttypid, a.atttypmod),
                    'collation', case when a.attcollation <> t.typcollation then a.attcollation::regcollation::text end,
                    'not_null', nullif(a.attnotnull, false), 'identity', nullif(a.attidentity, ''), 'generated', nullif(a.attgenerated, ''),
                    'storage', nullif(a.attstorage, t.typstorage), 'compression', nullif(a.attcompression, ''),
                    'statistics', {statistics}, 'attribute_options', a.attoptions, {table_options_of("a.attfdwoptions")},
                    {grants_of("a.attacl", "c", "c.relowner")})) as facts,
                case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid) end as definition,
                case when a.attgenerated <> '' then {stored("d.adbin")} end as stored,
                {refs} as refs,
                json_strip_nulls(json_build_object('typmod', nullif(a.atttypmod, -1), 'array', nullif(e.oid is not null, false),
                    'inherits', nullif(a.attinhcount > 0, false),
                    'inherited', nullif(a.attinhcount > 0 and not a.attislocal, false),
                    'usual_storage', t.typstorage,
                    'base', case when t.typtype = 'd' then format_type(t.typbasetype, null) end,
                    'expression', case when a.attgenerated <> '' then json_build_array({CLASS_DEFAULT}, d.oid, 0) end)) as extra
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            join pg_type t on t.oid = a.atttypid left join pg_type e on e.oid = t.typelem and e.typarray = t.oid
            left join pg_attrdef d on a.attgenerated <> '' and d.adrelid = c.oid and d.adnum = a.attnum
            {comment_on(CLASS_RELATION, "c.oid", "a.attnum")}
            where c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't' and c.relnamespace = any(%(schemas)s)"""

    def granted(self, entry: Entry) -> str:
        return f"TABLE {ident(*entry.name[:2])}"

    def lock(self, entry: Entry) -> str:
        return f"AccessExclusive on {'.'.join(entry.name[:2])}"

    def rebuilds(self, then: Entry, now: Entry, scene: Scene) -> bool:
        before, after = then.facts.get("generated"), now.facts.get("generated")
        if before == after:
            return bool(before) and not scene.same_definition(then, now) and not self._can_set_expression(then, scene)
        return bool(before) or after == "v"

    def create(self, then: Entry, scene: Scene) -> Iterator[Action]:
        if not scene.recreated_table(then.parent):
            if not then.extra.get("inherits"):
                defaults = [part for part in scene.then_children(then.ref, "default") if fast_default(part, scene)]
                needs = {*self._needs(then), *(ref for part in defaults for ref in part.depends)} - {then.ref}
                text = f"{self._head(then)} ADD COLUMN {column_definition(then, scene, alone=True)}"
                yield self.action(then, text, needs=tuple(sorted(needs)))
            if settings := column_settings(then):
                yield self.action(then, f"{self._head(then)} {', '.join(settings)}", aspect="settings", needs=())
            yield from self._not_null(then, scene)
            yield from self._identity(then, None, scene)

    def drop(self, now: Entry, scene: Scene) -> tuple[Statement, ...]:
        return (Statement(f"{self._head(now)} DROP COLUMN {ident(now.name[2])}", self.lock(now)),)

    def loosen(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Statement]:
        if "identity" in now.facts and "identity" not in then.facts and not now.extra.get("inherits"):
            yield Statement(f"{self._head(now)} ALTER COLUMN {ident(now.name[2])} DROP IDENTITY", self.lock(now))

    def rename(self, now: Entry, name: tuple[str, ...], new: str) -> Statement:
        return Statement(
            f"ALTER TABLE {ident(*name[:2])} RENAME COLUMN {ident(name[2])} TO {ident(new)}", self.lock(now)
        )

    def alter(self, then: Entry, now: Entry, scene: Scene) -> Iterator[Action]:
        head = f"{self._head(then)} ALTER COLUMN {ident(then.name[2])}"
        if then.facts.get("generated") != now.facts.get("generated"):
            yield self.action(then, f"{head} DROP EXPRESSION", aspect="expression", needs=())
        elif then.facts.get("generated") and not scene.same_definition(then, now):
            yield self.action(
                then, f"{head} SET EXPRESSION AS ({then.definition})", aspect="expression", needs=self._needs(then)
            )
        yield from self._not_null(then, scene, now)
        yield from self._identity(then, now, scene)
        settings = []
        if then.facts.get("storage") != now.facts.get("storage"):
            settings.append(f"SET STORAGE {STORAGE[then.facts.get('storage', then.extra['usual_storage'])]}")
        if then.facts.get("compression") != now.facts.get("compression"):
            settings.append(f"SET COMPRESSION {COMPRESSION.get(then.facts.get('compression', ''), 'default')}")
        if then.facts.get("statistics") != now.facts.get("statistics"):
            settings.append(f"SET STATISTICS {then.facts.get('statistics', -1)}")
        before, after = (
            dict(option.split("=", 1) for option in entry.facts.get("attribute_options", ())) for entry in (then, now)
        )
        if gone := sorted(after.keys() - before.keys()):
            settings.append(f"RESET ({', '.join(gone)})")
        if changed := [f"{name}={value}" for name, value in before.items() if after.get(name) != value]:
            settings.append(f"SET ({', '.join(changed)})")
        if options := changed_options(then, now, scene):
            settings.append(options.strip())
        if settings:
            parts = ", ".join(f"ALTER COLUMN {ident(then.name[2])} {setting}" for setting in settings)
            yield self.action(then, f"{self._head(then)} {parts}", aspect="settings", needs=())

    def _head(self, entry: Entry) -> str:
        return f"ALTER TABLE {ident(*entry.name[:2])}"

    def _needs(self, then: Entry) -> tuple[tuple[int, int, int], ...]:
        return tuple(ref for ref in then.depends if ref != then.parent)

    def _can_set_expression(self, then: Entry, scene: Scene) -> bool:
        return scene.version >= 170000

    def _not_null(self, then: Entry, scene: Scene, now: Entry | None = None) -> Iterator[Action]:
        before, after = then.facts.get("not_null", False), bool(now and now.facts.get("not_null"))
        emptied = bool(now) and scene.refilled(then.parent, [then.ref[2]])
        follows = then.extra.get("inherits") and (now is None or now.extra.get("inherits"))
        if scene.version >= NAMED_NOT_NULL or follows or (before == after and not emptied):
            return
        head = f"{self._head(then)} ALTER COLUMN {ident(then.name[2])}"
        if after:
            yield self.action(then, f"{head} DROP NOT NULL", aspect="nullable", needs=(), rank=-100)
        if before:
            yield self.action(then, f"{head} SET NOT NULL", aspect="not null", phase=Phase.FINISH, rank=410, needs=())

    def _identity(self, then: Entry, now: Entry | None, scene: Scene) -> Iterator[Action]:
        before, after = then.facts.get("identity"), now.facts.get("identity") if now else None
        if before == after or then.extra.get("inherits"):
            return
        head = f"{self._head(then)} ALTER COLUMN {ident(then.name[2])}"
        if before is None:
            return
        if after is None:
            text = f"{head} ADD {identity_definition(then, scene)}"
            yield self.action(then, text, aspect="identity", phase=Phase.FINISH, rank=440, needs=())
        else:
            yield self.action(then, f"{head} SET GENERATED {_ALWAYS[before]}", aspect="identity", needs=())


_ALWAYS = {"a": "ALWAYS", "d": "BY DEFAULT"}


def identity_definition(column: Entry, scene: Scene) -> str:
    """GENERATED … AS IDENTITY with the options of its sequence."""
    sequence = scene.then_children(column.ref, "sequence")[0]
    return (
        f"GENERATED {_ALWAYS[column.facts['identity']]} AS IDENTITY "
        f"(SEQUENCE NAME {ident(*sequence.name)} {sequence_options(sequence.facts).partition(' ')[2].partition(' ')[2]})"
    )


def column_definition(column: Entry, scene: Scene, *, alone: bool = False) -> str:
    """A column as CREATE TABLE takes it, or, where `alone`, as ADD COLUMN does while rows do not have it yet."""
    facts = column.facts
    text = f"{ident(column.name[2])} {facts['type']}{with_options(column, scene)}"
    text += f" COLLATE {facts['collation']}" if "collation" in facts else ""
    if "generated" in facts:
        text += f" GENERATED ALWAYS AS ({column.definition}) {'VIRTUAL' if facts['generated'] == 'v' else 'STORED'}"
    if alone:
        default = next(iter(scene.then_children(column.ref, "default")), None)
        return text + (f" DEFAULT {default.definition}" if default and fast_default(default, scene) else "")
    if "identity" in facts and column.parent and not column.extra.get("inherits"):
        text += f" {identity_definition(column, scene)}"
    if scene.version < NAMED_NOT_NULL:
        return text + (" NOT NULL" if facts.get("not_null") else "")
    for constraint in scene.then_children(column.parent or column.ref, "constraint"):
        if (
            constraint.facts["type"] == "n"
            and constraint.extra["columns"] == [column.ref[2]]
            and constraint.facts["valid"]
        ):
            no_inherit = " NO INHERIT" if constraint.definition.endswith(" NO INHERIT") else ""
            text += f" CONSTRAINT {ident(constraint.name[2])} NOT NULL{no_inherit}"
    return text


def column_settings(column: Entry) -> list[str]:
    """What CREATE TABLE and ADD COLUMN cannot say, as parts of ALTER TABLE."""
    facts, head = column.facts, f"ALTER COLUMN {ident(column.name[2])}"
    settings = []
    if "storage" in facts:
        settings.append(f"{head} SET STORAGE {STORAGE[facts['storage']]}")
    if "compression" in facts:
        settings.append(f"{head} SET COMPRESSION {COMPRESSION[facts['compression']]}")
    if "statistics" in facts:
        settings.append(f"{head} SET STATISTICS {facts['statistics']}")
    if "attribute_options" in facts:
        settings.append(f"{head} SET ({', '.join(facts['attribute_options'])})")
    return settings


def fast_default(default: Entry, scene: Scene) -> bool:
    """Whether ADD COLUMN may carry this default: neither volatile, which would rewrite the table, nor in need of more than types."""
    return not default.extra["volatile"] and not any(
        scene.created(ref) for ref in default.depends if ref != default.parent and ref[0] != CLASS_TYPE
    )
