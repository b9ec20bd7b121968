"""Why a row differs from the snapshot after a rollback: by what the plan was to do with it, and by what the ledger says of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from rollback_provider.components.postgres.actions import columns_of_action
from rollback_provider.components.postgres.blocks import Block
from rollback_provider.components.postgres.lines import read_lines
from rollback_provider.components.postgres.rows import NULL, keys_of, text, texts
from rollback_provider.components.postgres.tables import Column, Table
from rollback_provider.components.postgres.undo.done import Done
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobReader

Listed = dict[str, dict[tuple[str | None, ...], set[str]]]
_STAYS = frozenset({"conflict_kept", "merged", "kept"})
"""Actions of the ledger after which a row is not what it was."""


@dataclass
class Touched:
    """What the plan was to do with the rows of one table.

    :param restored: for a key, by column name, what the migration had left: ``{column: (o, n)}``
    """

    restored: dict[bytes, dict[str, tuple[bytes, bytes]]] = field(default_factory=dict)
    deleted: set[bytes] = field(default_factory=set)
    inserted: set[bytes] = field(default_factory=set)
    refilled: frozenset[str] = frozenset()


def read_touched(actions: Iterable[Json], table: Table, blobs: BlobReader) -> Touched:
    """What the plan's row actions say of this table's rows."""
    touched, width = Touched(), len(table.key)
    for action in actions:
        if action["table"]["oid"] != table.oid:
            continue
        columns = columns_of_action(action)
        if action["op"] == "refill":
            touched.refilled = frozenset(c.name for c in columns)
        for lines in read_lines([Block(**block) for block in action.get("blocks", ())], blobs):
            for line in lines:
                _remember(touched, action["op"], line, width, columns)
    return touched


def read_listed(ledger: Iterable[Json]) -> Listed:
    """What the ledger says stays as it is, by table and key: the columns concerned; none named means the whole row."""
    found: Listed = {}
    for entry in ledger:
        if entry["action"] in _STAYS:
            columns = found.setdefault(entry["scope"], {}).setdefault(tuple(entry["key"].values()), set())
            columns.update(entry.get("now") or entry.get("migrated") or ())
    return found


def written_by(done: Done, table: Table, keys: Collection[bytes], blobs: BlobReader) -> set[bytes]:
    """Those of the keys of which a rollback has written the row, by what it has noted."""
    changes = done.of_table(table.oid, "update", "delete", "insert", "refill")
    blocks = [Block(**block) for change in changes for block in change["blocks"]]
    return {key for lines in read_lines(blocks, blobs) for key in keys_of(lines, len(table.key)) if key in keys}


def explain(
    table: Table,
    key: bytes,
    now: bytes | None,
    before: bytes | None,
    touched: Touched,
    listed: dict[tuple[str | None, ...], set[str]],
) -> tuple[str, str]:
    """Why a row differs from the snapshot, and, where nothing explains it, the problem in words."""
    names = [c.name for c in table.stored_columns]
    values = texts(names[: len(table.key)], key.split(b"\t"))
    excused = listed.get(tuple(values.values()))
    if excused is not None and (now is None or before is None or not excused):
        return "listed in the ledger", ""
    label = ", ".join(f"{name}={value}" for name, value in values.items())
    if before is None:
        problem = f"row {label} was inserted by the migration and is still there" if key in touched.deleted else ""
        return ("left by the migration" if problem else "inserted by applications"), problem
    if now is None:
        problem = f"row {label} was deleted by the migration and is not back" if key in touched.inserted else ""
        return ("not brought back" if problem else "deleted by applications"), problem
    mine = touched.restored.get(key, {})
    for name, new, old in zip(names, now.split(b"\t"), before.split(b"\t"), strict=True):
        if new == old or name in (excused or ()):
            continue
        if (name in mine and new == mine[name][1]) or (name in touched.refilled and new == NULL):
            return "not restored", f"row {label}: {name} is {text(new)!r}, was {text(old)!r}"
    return ("listed in the ledger" if excused else "changed by applications"), ""


def describe(table: Table, key: bytes, now: bytes | None, before: bytes | None) -> str:
    """What of a row differs from the snapshot, in words."""
    names = [c.name for c in table.stored_columns]
    label = ", ".join(f"{name}={value}" for name, value in texts(names[: len(table.key)], key.split(b"\t")).items())
    if before is None or now is None:
        return f"row {label} is {'new' if before is None else 'gone'}"
    pairs = zip(names, now.split(b"\t"), before.split(b"\t"), strict=True)
    changed = [f"{name} is {text(new)!r}, was {text(old)!r}" for name, new, old in pairs if new != old]
    return f"row {label}: {'; '.join(changed)}"


def _remember(touched: Touched, op: str, line: bytes, width: int, columns: Sequence[Column]) -> None:
    fields = line.split(b"\t")
    key = b"\t".join(fields[:width])
    if op == "update":
        olds, news = fields[width : width + len(columns)], fields[width + len(columns) : -1]
        touched.restored[key] = {c.name: (o, n) for c, o, n in zip(columns, olds, news, strict=True) if o != n}
    elif op == "delete":
        touched.deleted.add(key)
    elif op == "insert":
        touched.inserted.add(key)
