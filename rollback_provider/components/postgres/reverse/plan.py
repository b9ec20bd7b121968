"""The reversal as a whole: drops, names, conversions, creations, in phases."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog import Catalog, Entry, Ref
from rollback_provider.components.postgres.catalog.entry import CLASS_RELATION
from rollback_provider.components.postgres.catalog.kinds import KINDS
from rollback_provider.components.postgres.catalog.kinds.base import Action
from rollback_provider.components.postgres.catalog.sql_text import ident
from rollback_provider.components.postgres.reversal import Recreation, Reversal, Statement, TableChange
from rollback_provider.components.postgres.reverse.attributes import attributes
from rollback_provider.components.postgres.reverse.changes import Changes
from rollback_provider.components.postgres.reverse.conversion import conversion
from rollback_provider.components.postgres.reverse.drops import Drops
from rollback_provider.components.postgres.reverse.labels import labels_of
from rollback_provider.components.postgres.reverse.order import in_order
from rollback_provider.components.postgres.reverse.renames import Renames
from rollback_provider.components.postgres.reverse.rights import rights_of


def reverse(then: Catalog, now: Catalog, *, unconvertible: frozenset[tuple[int, int]] = frozenset()) -> Reversal:
    """DDL that brings the schema from `now` back to `then`. Changes nothing itself.

    The statements expect ``search_path = pg_catalog`` and ``check_function_bodies = off``.

    :param unconvertible: (oid, attnum) of the snapshot's columns that are emptied instead of converted, to be filled by the data half
    """
    changes = Changes(then, now, unconvertible)
    drops = Drops(changes)
    renames = Renames(changes, drops.late)
    first = [*drops.loosen(), *drops.early(), *renames.schemas()]
    altered: list[Entry] = []
    created: list[Entry] = []
    ordered = in_order([*_actions(changes, altered, created), *_conversions(changes)])
    for label in ordered.stuck:
        changes.refuse(
            f"{label} and other objects need each other in a circle: there is no order in which they could be made again"
        )
    created_schemas = [statement for statement in ordered.prepare if statement.sql.startswith("CREATE SCHEMA ")]
    others = [statement for statement in ordered.prepare if statement not in created_schemas]
    tables = {table.oid: table for table in then.tables()}
    partitioned = [ref for ref in ordered.create if ref[1] not in tables]
    others += [statement for ref in partitioned for statement in ordered.create[ref]]
    completed = [statement for ref in partitioned for statement in ordered.complete.get(ref, ())]
    prepare = [*first, *created_schemas, *renames.relations(), *renames.others(), *others, *drops.finally_(renames)]
    _notes(changes)
    return Reversal(
        prepare=tuple(prepare),
        recreations=tuple(
            Recreation(tables[ref[1]], tuple(statements), tuple(ordered.complete.get(ref, ())))
            for ref, statements in ordered.create.items()
            if ref[1] in tables
        ),
        finish=(*completed, *ordered.finish),
        tables=tuple(_table_changes(changes)),
        dropped=tuple(table for table in now.tables() if (CLASS_RELATION, table.oid, 0) in changes.dropped),
        sequences=tuple(sorted(ident(*entry.name) for entry in changes.matching.gone() if entry.kind == "sequence")),
        notes=tuple(changes.notes),
        refusals=tuple(changes.refusals),
        rights=rights_of(changes, altered, created, _acted(changes)),
    )


def _acted(changes: Changes) -> Iterator[Entry]:
    """Objects as they are now that are converted, or parted from others."""
    yield from (changes.now.by_ref[changes.matching.to_now[ref]] for ref in sorted(changes.retyped))
    for then, now in changes.matching.pairs():
        if any(True for _ in KINDS[now.kind].loosen(then, now, changes)):
            yield now


def _actions(changes: Changes, altered: list[Entry], created: list[Entry]) -> Iterator[Action]:
    """All that is done to objects of the snapshot, which are put down as altered or created."""
    for then in changes.then.entries:
        kind = KINDS[then.kind]
        if not kind.reversible:
            continue
        if changes.created(then.ref):
            actions = [*kind.create(then, changes)]
            now = None
        else:
            now = changes.now.by_ref[changes.matching.to_now[then.ref]]
            actions = [*kind.alter(then, now, changes)]
        if actions and kind.privileged(then) and not changes.now.superuser:
            changes.refuse(f"{then.label} was changed or dropped by the migration: to bring it back takes a superuser")
        action = attributes(changes, then, now)
        if now is None:
            created.append(then)
        elif actions or action is not None:
            altered.append(then)
        yield from actions
        if action is not None:
            yield action


def _conversions(changes: Changes) -> Iterator[Action]:
    """One ALTER TABLE for all columns of a table that get their type back, so that its rows are written once."""
    by_table: dict[Ref, list[Entry]] = {}
    for ref in sorted(changes.retyped):
        then = changes.then.by_ref[ref]
        if not then.extra.get("inherits") and then.parent:
            by_table.setdefault(then.parent, []).append(then)
    for table, columns in by_table.items():
        name = columns[0].name[:2]
        foreign = "server" in changes.then.by_ref[table].facts
        parts = ", ".join(_declared(column) if foreign else _converted(changes, column) for column in columns)
        yield Action(
            table,
            columns[0].label,
            (
                Statement(
                    f"ALTER TABLE {ident(*name)} {parts}",
                    f"AccessExclusive on {'.'.join(name)}, while its rows are rewritten",
                ),
            ),
            aspect="conversion",
            rank=130,
            needs=tuple(sorted({ref for column in columns for ref in column.depends if ref != table})),
            provides=tuple(column.ref for column in columns),
        )


def _converted(changes: Changes, column: Entry) -> str:
    now = changes.now.by_ref[changes.matching.to_now[column.ref]]
    if changes.refilled(column.parent, [column.ref[2]]):
        using = f"NULL::{column.facts['type']}"
    else:
        swapped = any(changes.created(ref) for ref in column.refs.get("type", ()))
        labels = labels_of(changes, column.ref)
        using = conversion(changes.now, column, now, column.name[2], swapped=swapped, labels=labels)
    return f"{_declared(column)} USING {using}"


def _declared(column: Entry) -> str:
    """All that there is to say of a foreign table's column: it holds no values to convert."""
    collation = f" COLLATE {column.facts['collation']}" if "collation" in column.facts else ""
    return f"ALTER COLUMN {ident(column.name[2])} TYPE {column.facts['type']}{collation}"


def _table_changes(changes: Changes) -> Iterator[TableChange]:
    matching = changes.matching
    after = {table.oid: table for table in changes.now.tables()}
    for then in changes.then.tables():
        found = matching.to_now.get((CLASS_RELATION, then.oid, 0))
        if found is None or found[1] not in after:
            continue
        now = after[found[1]]
        columns = {column.number: _kept(changes, (CLASS_RELATION, then.oid, column.number)) for column in then.columns}
        kept = set(columns.values())
        yield TableChange(
            then=then,
            now=now,
            columns=columns,
            retyped=frozenset(number for number in columns if (CLASS_RELATION, then.oid, number) in changes.retyped),
            relabelled=frozenset(
                number for number in columns if labels_of(changes, (CLASS_RELATION, then.oid, number))
            ),
            added=frozenset(column.number for column in now.columns if column.number not in kept),
            by_name=matching.by_name(changes.then.by_ref[(CLASS_RELATION, then.oid, 0)]),
        )


def _kept(changes: Changes, column: Ref) -> int | None:
    found = changes.matching.to_now.get(column)
    return found[2] if found is not None and column not in changes.rebuilt else None


def _notes(changes: Changes) -> None:
    new = {entry.name: entry for entry in changes.matching.new() if entry.kind == "table"}
    for then in changes.matching.gone():
        if then.kind == "table" and then.name in new:
            changes.note(
                f"{then.label} and the table of that name now are not of the same sort, ordinary, partitioned or foreign: "
                "the new one is dropped with its rows"
            )
    for change in _table_changes(changes):
        if change.by_name:
            changes.note(
                f"table {change.then.scope} is not the one of the snapshot: it was made again, and is matched by its name and key"
            )
        order = [change.columns[column.number] for column in change.then.columns]
        last = [column.name for column in change.then.columns if change.columns[column.number] is None]
        kept = [number for number in order if number is not None]
        if kept != sorted(kept) or order[: len(kept)] != kept:
            changes.note(
                f"table {change.then.scope}: the columns come back in another physical order"
                + (f" ({', '.join(last)} last)" if last else "")
                + "; name columns in INSERT and COPY"
            )
