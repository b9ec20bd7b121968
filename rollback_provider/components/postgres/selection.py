"""A part of a database that goes back while the rest stays as it is, and what the part needs of the rest.

The schema's half goes back to a catalog in which the chosen objects are the snapshot's and all others are those of now. What then would
need something that is not there is refused, each by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.catalog import Catalog, Entry, Ref
from rollback_provider.components.postgres.catalog.entry import CLASS_RELATION
from rollback_provider.components.postgres.catalog.sql_text import ident
from rollback_provider.components.postgres.delta import written_alike
from rollback_provider.components.postgres.images import save_rows
from rollback_provider.components.postgres.reversal import Reversal, TableChange
from rollback_provider.components.postgres.reverse.changes import Changes
from rollback_provider.components.postgres.reverse.matching import Matching
from rollback_provider.components.postgres.tables import Column, Table
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobWriter
from rollback_provider.core.model import Policy
from rollback_provider.core.verification import Check


def names_in(catalog: Catalog) -> set[str]:
    """What a policy may name: objects that are no part of another, as ``schema.name``."""
    return {".".join(entry.name) for entry in catalog.entries if entry.parent is None and len(entry.name) > 1}


def part_of(catalog: Catalog, names: Iterable[str]) -> Catalog:
    """The objects of these names, with their parts and the sequences of their columns."""
    chosen = _refs(catalog, set(names))
    return replace(catalog, entries=tuple(entry for entry in catalog.entries if entry.ref in chosen))


@dataclass(frozen=True)
class Selection:
    """What a policy chooses.

    :param target: what the schema goes back to
    :param names: chosen objects whose schema goes back; None where nothing is left out
    :param merged: oids in the snapshot of tables whose rows go back; None for all
    :param alone: those of them whose schema stays as it is
    :param rows: predicates on rows of the latter
    """

    target: Catalog
    names: frozenset[str] | None = None
    merged: frozenset[int] | None = None
    alone: frozenset[int] = frozenset()
    rows: dict[int, str] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()

    @classmethod
    def of(cls, policy: Policy, then: Catalog, now: Catalog) -> Selection:
        """What `policy` chooses of a database."""
        if not policy.partial:
            return cls(then)
        everything = names_in(then) | names_in(now)
        chosen = set(policy.only) or (set() if policy.rows else everything)
        tables = {table.scope: table.oid for table in then.tables()}
        matching = Matching(then, now)
        found = {table.oid: {table.scope, *_name_now(matching, now, table)} for table in then.tables()}
        of_rows = {oid: policy.rows[name] for oid, names in found.items() for name in names if name in policy.rows}
        of_tables = {oid for oid, names in found.items() if names & chosen}
        schema = set() if policy.part == "data" else chosen | {s for s, oid in tables.items() if oid in of_tables}
        alone = frozenset(of_rows) | (of_tables if policy.part == "data" else frozenset())
        merged = alone if policy.part == "schema" else alone | of_tables
        whole = not policy.only and not policy.rows and policy.part == "schema"
        target = then if whole else _hybrid(matching, schema)
        return cls(
            target,
            frozenset(schema),
            frozenset(merged),
            alone,
            of_rows,
            tuple(dict.fromkeys(_needed(then, now, target, matching, schema))),
        )

    def narrowed(self, reversal: Reversal, base: Base) -> Reversal:
        """The reversal with tables whose rows go back alone as they are called now. Its refusals name what stands against that."""
        tables: list[TableChange] = []
        refusals = [*reversal.refusals, *self.refusals]
        by_oid = {change.now.oid: change for change in reversal.tables}
        for oid in self.alone:
            stored = base.tables.get(oid)
            change = by_oid.get(oid)
            if stored is None or change is None:
                refusals.append(
                    f"rows of {stored.table.scope if stored else oid} cannot go back without the table, which is gone"
                )
                continue
            there = {column.number: column for column in change.now.columns}
            refusals += [
                f"the rows of {stored.table.scope} cannot go back alone: column {column.name} was {problem}"
                for column in stored.table.stored_columns
                if (problem := _problem(column, there.get(column.number)))
            ]
            if self.rows.get(oid) and not stored.table.key:
                refusals.append(f"rows of {stored.table.scope} cannot be chosen: it has no key")
            tables.append(_alone(stored.table, change.now))
        rest = [change for change in reversal.tables if change.then.oid not in self.alone]
        return replace(reversal, tables=(*rest, *tables), refusals=tuple(refusals))

    def sequences(self, then: Catalog, values: Json) -> Json:
        """Values of the chosen sequences."""
        if self.names is None:
            return values
        names = {ident(each.schema, each.name) for each in part_of(then, self.names).sequences()}
        return {name: value for name, value in values.items() if name in names}

    def payload(self, reversal: Reversal, base: Base, sequences: Json, blobs: BlobWriter) -> Json:
        """What verification compares, where that is not everything: rows in tables as they will be called."""
        if self.names is None:
            return {}
        then = {change.then.oid: change.then for change in reversal.tables}
        rows = [
            replace(stored, table=replace(then[oid], foreign_keys=()) if oid in self.alone else stored.table)
            for oid, stored in base.tables.items()
            if self.merged is None or oid in self.merged
        ]
        return {
            "compared": {
                "rows": save_rows(rows, blobs),
                "names": sorted(self.names),
                "seen": sorted(self.names | {each.table.scope for each in rows}),
                "chosen": sorted(then[oid].scope for oid in self.rows),
                "sequences": sequences,
            }
        }


def in_part(checks: Iterable[Check], compared: Json) -> list[Check]:
    """Checks of a rollback of a part: without those of what was not chosen, and saying so."""
    found = []
    for check in checks:
        detail = check.detail
        if not compared["names"] and check.name not in {"rows", "checksum"}:
            continue
        if check.scope in compared["chosen"] and detail:
            detail += "; rows that were not chosen count as applications'"
        if check.name == "schema":
            detail = f"of {', '.join(compared['seen'])} alone: {detail}"
        found.append(check.model_copy(update={"detail": detail}))
    return found


def _problem(then: Column, now: Column | None) -> str:
    if now is None:
        return "dropped"
    return "" if then.type == now.type or written_alike(then.type, now.type) else "converted"


def _alone(then: Table, now: Table) -> TableChange:
    """A table of the snapshot under the names of now."""
    called = {column.number: column.name for column in now.columns}
    columns = tuple(replace(column, name=called.get(column.number, column.name)) for column in then.columns)
    table = replace(then, schema=now.schema, name=now.name, columns=columns)
    kept = {column.number: column.number if column.number in called else None for column in columns}
    return TableChange(then=table, now=now, columns=kept)


def _name_now(matching: Matching, now: Catalog, table: Table) -> Iterator[str]:
    found = matching.to_now.get((CLASS_RELATION, table.oid, 0))
    if found:
        yield ".".join(now.by_ref[found].name)


def _refs(catalog: Catalog, names: set[str]) -> set[Ref]:
    """Objects of these names, their parts, and sequences that belong to their columns."""
    chosen = {entry.ref for entry in catalog.entries if entry.parent is None and ".".join(entry.name) in names}
    waiting = list(chosen)
    owned: dict[Ref, list[Ref]] = {}
    for entry in catalog.entries:
        for owner in entry.refs.get("owned_by", ()):
            owned.setdefault((*owner[:2], 0), []).append(entry.ref)
    while waiting:
        ref = waiting.pop()
        parts = [child.ref for child in catalog.children.get(ref, ())] + owned.get(ref, [])
        waiting += [part for part in parts if part not in chosen]
        chosen.update(parts)
    return chosen


def _hybrid(matching: Matching, names: set[str]) -> Catalog:
    """The catalog of now, with the chosen objects as they were."""
    then, now = matching.then, matching.now
    mine = _refs(then, names)
    theirs = _refs(now, names) | {matching.to_now[ref] for ref in mine if ref in matching.to_now}
    theirs |= _refs(now, {".".join(now.by_ref[ref].name) for ref in theirs if now.by_ref[ref].parent is None})
    entries = [entry for entry in now.entries if entry.ref not in theirs] + [e for e in then.entries if e.ref in mine]
    return replace(now, entries=tuple(entries))


def _needed(then: Catalog, now: Catalog, target: Catalog, matching: Matching, names: set[str]) -> Iterator[str]:
    """What the chosen objects need of others, and others of them, that would not be there."""
    mine = _refs(then, names)
    changes = Changes(target, now)
    for entry in target.entries:
        made = changes.created(entry.ref)
        if made and entry.ref not in mine:
            yield f"{entry.label} stands in the way, and would have to be made again: choose it, too"
        for ref in entry.depends:
            was, is_ = then.by_ref.get(ref), now.by_ref.get(ref)
            if was is None and is_ is None:
                continue
            if ref not in target.by_ref and matching.to_then.get(ref) not in target.by_ref:
                why = "which goes" if entry.ref not in mine else "which is not there any more"
                yield f"{entry.label} needs {(was or is_ or entry).label}, {why}: choose it, too"
            elif entry.ref in mine and ref not in mine and made and _has_changed(was, is_):
                yield f"{entry.label} needs {(was or entry).label} as it was: choose it, too"


def _has_changed(then: Entry | None, now: Entry | None) -> bool:
    """Whether a definition that was written for an object may not fit it any more."""
    if then is None or now is None:
        return False
    return then.name != now.name or (then.kind == "column" and then.facts.get("type") != now.facts.get("type"))
