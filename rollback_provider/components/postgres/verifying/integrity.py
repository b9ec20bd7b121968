"""Whether references hold: every foreign key is there, validated and enforced, and leads to a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from psycopg import sql

from rollback_provider.components.postgres.session import Session

NAMED = 5
"""Keys without a row that are named for each foreign key."""

_FOREIGN_KEYS = """
    select array[n.nspname, c.relname, k.conname], k.convalidated, array[pn.nspname, p.relname],
        (select array_agg(attname::text order by place) from unnest(k.conkey) with ordinality u(number, place)
            join pg_attribute on attrelid = k.conrelid and attnum = number),
        (select array_agg(attname::text order by place) from unnest(k.confkey) with ordinality u(number, place)
            join pg_attribute on attrelid = k.confrelid and attnum = number),
        (select array_agg(array[on_.nspname::text, o.oprname::text] order by place)
            from unnest(k.conpfeqop) with ordinality u(operator, place)
            join pg_operator o on o.oid = operator join pg_namespace on_ on on_.oid = o.oprnamespace),
        k.conparentid <> 0,
        exists(select from pg_trigger t where t.tgconstraint = k.oid and t.tgenabled = 'D'),
        coalesce(to_jsonb(k) ->> 'conenforced', 'true') = 'true'
    from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
    join pg_class p on p.oid = k.confrelid join pg_namespace pn on pn.oid = p.relnamespace
    where k.contype = 'f'
"""


@dataclass(frozen=True)
class Reference:
    """A foreign key as it is now.

    :param operators: schema and name of what compares the parent's column with the child's, for each pair
    :param inherited: it is a partition's part of another one, which looks at its rows, too
    :param disabled: its triggers are switched off, so that nothing enforces it
    :param enforced: whether it is declared to be enforced at all
    """

    name: tuple[str, ...]
    valid: bool
    parent: tuple[str, ...]
    columns: tuple[str, ...]
    parent_columns: tuple[str, ...]
    operators: tuple[tuple[str, str], ...]
    inherited: bool
    disabled: bool
    enforced: bool

    @property
    def label(self) -> str:
        """Table and name, for people."""
        return ".".join(self.name)


def references(session: Session) -> dict[tuple[str, ...], Reference]:
    """All foreign keys of the database, by schema, table and name."""
    found = (
        Reference(
            tuple(name),
            valid,
            tuple(parent),
            tuple(columns),
            tuple(parent_columns),
            tuple((schema, operator) for schema, operator in operators),
            inherited,
            disabled,
            enforced,
        )
        for name, valid, parent, columns, parent_columns, operators, inherited, disabled, enforced in session.execute(
            _FOREIGN_KEYS
        ).fetchall()
    )
    return {each.name: each for each in found}


def problems(wanted: Mapping[tuple[str, ...], bool], found: Mapping[tuple[str, ...], Reference]) -> Iterator[str]:
    """Foreign keys that are not what they were.

    :param wanted: those that there were, and whether they were validated
    """
    for name, valid in wanted.items():
        now = found.get(name)
        if now is None:
            yield f"{'.'.join(name)} is missing"
        elif valid and not now.valid:
            yield f"{now.label} is not validated"


def orphans(session: Session, reference: Reference) -> list[str]:
    """Rows that lead nowhere, by their key: the first, and a line for the rest. A key with a null leads nowhere by right."""
    child, parent = sql.Identifier(*reference.name[:2]), sql.Identifier(*reference.parent)
    columns = [sql.Identifier("c", name) for name in reference.columns]
    same = sql.SQL(" and ").join(
        sql.SQL("{} operator({}.{}) {}").format(
            sql.Identifier("p", other), sql.Identifier(schema), sql.SQL(operator), mine
        )
        for mine, other, (schema, operator) in zip(columns, reference.parent_columns, reference.operators, strict=True)
    )
    query = sql.SQL(
        "select count(*) over (), {} from {} c where {} and not exists (select from {} p where {}) group by {} order by {} limit {}"
    ).format(
        sql.SQL(", ").join(sql.SQL("({})::text").format(column) for column in columns),
        child,
        sql.SQL(" and ").join(sql.SQL("{} is not null").format(column) for column in columns),
        parent,
        same,
        sql.SQL(", ").join(columns),
        sql.SQL(", ").join(columns),
        NAMED,
    )
    rows = session.execute(query).fetchall()
    named = [
        f"{reference.label}: {_key(reference, row[1:])} leads to no row of {'.'.join(reference.parent)}" for row in rows
    ]
    more = rows[0][0] - len(rows) if rows else 0
    return [*named, f"{reference.label}: {more:,} more keys lead to no row"] if more else named


def _key(reference: Reference, values: tuple[str, ...]) -> str:
    return ", ".join(f"{name}={value}" for name, value in zip(reference.columns, values, strict=True))
