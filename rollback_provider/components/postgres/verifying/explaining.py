"""Why a row differs from the snapshot after a rollback: by what the plan was to do with it, and by what the ledger says of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

from rollback_provider.components.postgres.actions import columns_of_action
from rollback_provider.components.postgres.blocks import Block
from rollback_provider.components.postgres.lines import read_lines
from rollback_provider.components.postgres.rows import NULL, keys_of, text, texts
from rollback_provider.components.postgres.tables import Column, Table
from rollback_provider.components.postgres.undo.done import Done
from rollback_provider.components.postgres.verifying.lookup import Key
from rollback_provider.components.postgres.verifying.writers import Writers
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


def columns_written_by(
    done: Done, table: Table, keys: Collection[Key], blobs: BlobReader
) -> dict[Key, set[str | None]]:
    """Of rows by these keys, the columns in which a rollback has put another value than it found, by what it has noted.

    None among them says that it has deleted the row. A row can bear its transaction id and hold what an application wrote: in another
    column, or where DDL has rewritten the table.
    """
    found: dict[Key, set[str | None]] = {}
    names = {column.number: column.name for column in table.stored_columns}
    key_names, width = [column.name for column in table.key_columns], len(table.key)
    for change in done.of_table(table.oid, "update", "delete", "insert", "refill"):
        columns = [names[number] for number in change["columns"]]
        for line in chain.from_iterable(read_lines([Block(**block) for block in change["blocks"]], blobs)):
            fields = line.split(b"\t")
            key = tuple(texts(key_names, fields[:width]).values())
            if key in keys and change["op"] == "delete":
                found.setdefault(key, set()).add(None)
            elif key in keys:
                values = fields[width:]
                before, after = values[: len(columns)], values[len(columns) : 2 * len(columns)]
                written = columns if change["op"] == "insert" else _unlike(columns, before, after)
                found.setdefault(key, set()).update(written)
    return found


def _unlike(names: Sequence[str], one: Sequence[bytes], other: Sequence[bytes]) -> list[str]:
    return [name for name, a, b in zip(names, one, other, strict=True) if a != b]


@dataclass(frozen=True)
class Explanation:
    """Why a row differs from the snapshot.

    :param reason: in the words by which such rows are counted
    :param problem: in words, where the row is not what it should be
    :param known: whether it is known that nobody has written the row since
    """

    reason: str
    problem: str = ""
    known: bool = False


@dataclass(frozen=True)
class Explainer:
    """Says why rows of one table differ from the snapshot.

    :param listed: what the ledger says of the table's rows
    """

    table: Table
    touched: Touched
    listed: dict[tuple[str | None, ...], set[str]]
    writers: Writers

    def explain(self, key: bytes, now: bytes | None, before: bytes | None) -> Explanation:
        """Why a row differs."""
        names = [c.name for c in self.table.stored_columns]
        values = texts(names[: len(self.table.key)], key.split(b"\t"))
        excused = self.listed.get(tuple(values.values()))
        if excused is not None and (now is None or before is None or not excused):
            return Explanation("listed in the ledger")
        row = "row " + ", ".join(f"{name}={value}" for name, value in values.items())
        if before is None:
            if key in self.touched.deleted:
                return Explanation("left by the migration", f"{row} was inserted by the migration and is still there")
            return (
                self._settled(f"{row} is new")
                if key in self.writers.settled
                else Explanation("inserted by applications")
            )
        if now is None:
            if key in self.touched.inserted:
                return Explanation("not brought back", f"{row} was deleted by the migration and is not back")
            return (
                self._settled(f"{row} is gone")
                if key in self.writers.deleted
                else Explanation("deleted by applications")
            )
        fields = zip(names, now.split(b"\t"), before.split(b"\t"), strict=True)
        differing = [each for each in fields if each[1] != each[2] and each[0] not in (excused or ())]
        return (
            self._not_restored(row, key, differing)
            # The ledger lists columns as they were called when it was written: of a renamed one it may speak here.
            or (self._written(row, key, differing) if (excused or set()) <= set(names) else None)
            or Explanation("listed in the ledger" if excused else "changed by applications")
        )

    def _not_restored(self, row: str, key: bytes, differing: list[tuple[str, bytes, bytes]]) -> Explanation | None:
        """A value that is still what the migration left, and that the ledger does not excuse."""
        mine = self.touched.restored.get(key, {})
        for name, new, old in differing:
            if (name in mine and new == mine[name][1]) or (name in self.touched.refilled and new == NULL):
                return Explanation("not restored", f"{row}: {_difference(name, new, old)}")
        return None

    def _written(self, row: str, key: bytes, differing: list[tuple[str, bytes, bytes]]) -> Explanation | None:
        """Values that, by who wrote the row last, are no application's."""
        mine = self.touched.restored.get(key, {})
        changed = f"{row}: {'; '.join(_difference(*each) for each in differing)}"
        if differing and key in self.writers.settled:
            return self._settled(changed)
        if key in self.writers.own and any(name in mine or key in self.touched.inserted for name, _, _ in differing):
            return Explanation("wrong", f"{changed}: the rollback wrote it last", known=True)
        return None

    def _settled(self, difference: str) -> Explanation:
        problem = f"{difference}: written {self.writers.when}, and neither taken back nor listed"
        return Explanation("wrong", problem, known=True)


def describe(table: Table, key: bytes, now: bytes | None, before: bytes | None) -> str:
    """What of a row differs from the snapshot, in words."""
    names = [c.name for c in table.stored_columns]
    label = ", ".join(f"{name}={value}" for name, value in texts(names[: len(table.key)], key.split(b"\t")).items())
    if before is None or now is None:
        return f"row {label} is {'new' if before is None else 'gone'}"
    pairs = zip(names, now.split(b"\t"), before.split(b"\t"), strict=True)
    return f"row {label}: {'; '.join(_difference(name, new, old) for name, new, old in pairs if new != old)}"


def _difference(name: str, new: bytes, old: bytes) -> str:
    return f"{name} is {text(new)!r}, was {text(old)!r}"


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
