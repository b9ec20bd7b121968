"""Reads the actions of a step: plain JSON in a plan, used alike by those who apply, render, export and verify it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.blocks import Block
from rollback_provider.components.postgres.lines import read_lines
from rollback_provider.components.postgres.merge import Child, Merge
from rollback_provider.components.postgres.tables import Column, Table
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobReader


def flat(actions: Sequence[Json]) -> list[Json]:
    """Actions with those that are grouped in others taken out of them."""
    return [part for action in actions for part in (action["actions"] if action["do"] == "deferred" else [action])]


def table_of(action: Json) -> Table:
    """The table that an action is about, as it was in the snapshot."""
    return Table.from_json(action["table"])


def columns_of_action(action: Json) -> tuple[Column, ...]:
    """The columns that an action is about, with the default that rows got when a column was added."""
    table, defaults = table_of(action), action.get("defaults", {})
    found = [column for number in action["columns"] if (column := table.column(number))]
    return tuple(replace(c, default=defaults[str(c.number)]) if str(c.number) in defaults else c for c in found)


def merge_of(action: Json) -> Merge:
    """The SQL of a row action."""
    table = table_of(action)
    children = tuple(
        Child(child["schema"], child["name"], tuple((mine, theirs) for mine, theirs in child["pairs"]), child["itself"])
        for child in action.get("children", ())
    )
    beside = tuple(Column(**column) for column in action.get("beside", ()))
    deferrable = bool(action.get("deferrable"))
    return Merge(table, table.key_columns, columns_of_action(action), children, beside, deferrable)


def lines_of(action: Json, base: Base, blobs: BlobReader) -> Iterator[Sequence[bytes]]:
    """The rows of an action as lines for its stage or table: from the plan's own blobs, or cut out of the snapshot's rows."""
    table = table_of(action)
    if action["do"] == "merge":
        yield from read_lines([Block(**block) for block in action["blocks"]], blobs)
    elif action["do"] == "recreate" or action["op"] == "reload":
        yield from base.lines(table.oid)
    else:
        places = {column.number: i for i, column in enumerate(table.stored_columns)}
        wanted = [*range(len(table.key)), *(places[number] for number in action["columns"])]
        for lines in base.lines(table.oid):
            yield [b"\t".join([row[i] for i in wanted]) for row in (line.split(b"\t") for line in lines)]


def locks_of(action: Json) -> tuple[str, ...]:
    """What an action locks against applications, in words."""
    statements = [*action.get("statements", ()), *action.get("create", ()), *action.get("complete", ())]
    locks = [statement["locks"] for statement in statements if statement["locks"]]
    locks += [lock for each in action.get("actions", ()) for lock in locks_of(each)]
    locks += [f"ShareRowExclusive on {c['schema']}.{c['name']}" for c in action.get("constraints", ())]
    if action["do"] in {"merge", "refill"}:
        table = table_of(action)
        locks.append(f"{'ShareRowExclusive' if table.row_triggers else 'the rows written'} on {table.scope}")
    return tuple(dict.fromkeys(locks))
