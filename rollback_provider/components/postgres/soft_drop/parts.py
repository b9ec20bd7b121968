"""What a real drop takes along: found by doing it, and undoing it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rollback_provider.components.postgres.catalog.sql_text import ident
from rollback_provider.components.postgres.reserved import reserved
from rollback_provider.components.postgres.soft_drop.statements import Execute, undone


@dataclass(frozen=True)
class Part:
    """Something that goes with a column or a table.

    :param kind: ``table``, ``index`` (also one behind a constraint), ``constraint``, ``sequence`` or ``statistics``
    :param table: the table that it is a part of, as SQL
    :param type: contype of a constraint, or of the one that an index is behind
    :param follows: it belongs to a partition or child and goes with its like of the parent
    :param plain: an index of one column alone, that nothing but the column decides upon
    :param unique: an index that rejects rows
    """

    kind: str
    oid: int
    schema: str
    name: str
    table: str
    type: str
    follows: bool
    plain: bool
    unique: bool

    def rename(self) -> str:
        """Gives it a reserved name, so that its own is free as after a real drop."""
        new = ident(reserved(self.oid, self.name))
        if self.kind == "constraint":
            return f"alter table {self.table} rename constraint {ident(self.name)} to {new}"
        return f"alter {self.kind} {ident(self.schema, self.name)} rename to {new}"

    def drop(self) -> str:
        """Drops it."""
        if self.type:
            return f"alter table {self.table} drop constraint {ident(self.name)}"
        return f"drop {self.kind} {ident(self.schema, self.name)}"


def family(execute: Execute, oid: int) -> list[int]:
    """A table and all its partitions and children, parents first."""
    rows = execute(
        f"with recursive tree(oid, depth) as (select {oid}::oid, 0 union all"
        " select inhrelid, depth + 1 from pg_catalog.pg_inherits join tree on inhparent = tree.oid)"
        " select oid from tree group by oid order by max(depth), oid"
    )
    return [found for (found,) in rows]


def taken_along(execute: Execute, tables: Iterable[int], drop: str) -> list[Part]:
    """What the statement `drop` takes along of these tables. Raises what it raises.

    Their locks are kept: they are taken before.
    """
    before = _parts(execute, tables)
    with undone(execute):
        execute(drop)
        after = {(part.kind, part.oid) for part in _parts(execute, tables)}
    return [part for part in before if (part.kind, part.oid) not in after]


def _parts(execute: Execute, tables: Iterable[int]) -> list[Part]:
    oids = f"'{{{','.join(map(str, tables))}}}'::oid[]"
    rows = execute(f"""
        select kind, p.oid, n.nspname, p.name, quote_ident(tn.nspname) || '.' || quote_ident(t.relname),
            p.type, p.follows, p.plain, p.is_unique from (
            select 'table' as kind, oid, relnamespace as space, relname as name, '' as type, false as follows,
                false as plain, false as is_unique, oid as of_table from pg_class where oid = any({oids})
            union all
            select 'index', x.oid, x.relnamespace, x.relname, coalesce(k.contype::text, ''), x.relispartition,
                i.indnatts = 1 and i.indexprs is null and i.indpred is null and not i.indisreplident and not i.indisprimary
                    and not i.indisexclusion and not coalesce((to_jsonb(i)->>'indnullsnotdistinct')::bool, false),
                i.indisunique, i.indrelid
            from pg_index i join pg_class x on x.oid = i.indexrelid
            left join pg_constraint k on k.conindid = x.oid and k.conrelid = i.indrelid and k.contype in ('p', 'u', 'x')
            where i.indrelid = any({oids})
            union all
            select 'constraint', oid, connamespace, conname, contype::text, conparentid <> 0 or coninhcount > 0 and not conislocal,
                false, false, conrelid
            from pg_constraint where conrelid = any({oids}) and contype in ('c', 'f', 'n')
            union all
            select 'sequence', s.oid, s.relnamespace, s.relname, '', false, false, false, d.refobjid
            from pg_class s join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = s.oid and d.deptype in ('a', 'i')
                and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0
            where s.relkind = 'S' and d.refobjid = any({oids})
            union all
            select 'statistics', oid, stxnamespace, stxname, '', false, false, false, stxrelid
            from pg_statistic_ext where stxrelid = any({oids})) p
        join pg_namespace n on n.oid = p.space join pg_class t on t.oid = p.of_table join pg_namespace tn on tn.oid = t.relnamespace
        order by array_position({oids}, p.of_table), kind, p.oid""")
    return [Part(*row) for row in rows]
