"""What a copy holds: the snapshot's schema, without what its server cannot have, and none, some or all of the rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from math import ceil
from typing import Any

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.catalog import Catalog, Entry
from rollback_provider.components.postgres.images import TableRows, save_rows
from rollback_provider.components.postgres.lines import blocks_of
from rollback_provider.components.postgres.rehearsal.sample import sample
from rollback_provider.components.postgres.tables import Table
from rollback_provider.components.postgres.view import catalog_of
from rollback_provider.core.component import Blobs
from rollback_provider.core.model import ComponentState
from rollback_provider.core.rehearsal.copies import Place

_TO = re.compile(r"^AS \w+ FOR \w+ TO (.+?)(?: USING \(| WITH CHECK \(|$)")


def content_of(
    snapshot: ComponentState, place: Place, blobs: Blobs, *, known: frozenset[str], usable: frozenset[str]
) -> tuple[ComponentState, list[str]]:
    """The state that a copy is brought to, and what it lacks, in sentences.

    :param known: roles that the copy's server has
    :param usable: those of them to which objects can be given there
    """
    catalog, lacks = _without_roles(catalog_of(snapshot, blobs), known, usable)
    payload = snapshot.payload | {"catalog": blobs.put_blob(json.dumps(catalog.to_json()).encode()).digest}
    if place.size != "full":
        payload |= {"rows": _some_rows(snapshot, catalog, place, blobs), "deltas": None}
    return snapshot.model_copy(update={"payload": payload}), lacks


def roles_in(catalog: Catalog) -> frozenset[str]:
    """Roles that a schema names: owners, grantees, those of policies."""
    return frozenset(role for entry in catalog.entries for role in (_owner(entry), *_grantees(entry)) if role)


def _some_rows(snapshot: ComponentState, catalog: Catalog, place: Place, blobs: Blobs) -> str:
    base = Base(snapshot.payload["rows"], snapshot.payload["deltas"], blobs)

    def wanted(rows: int) -> int:
        if place.size == "schema":
            return 0
        return min(rows, place.rows if place.share is None else ceil(rows * place.share))

    chosen = sample(base, catalog.tables(), _leaves(catalog), wanted)
    tables = {table.oid: table for table in catalog.tables()}
    return save_rows((_rows(tables[oid], lines, blobs) for oid, lines in chosen.items()), blobs)


def _rows(table: Table, lines: Iterable[bytes], blobs: Blobs) -> TableRows:
    return TableRows(table, blocks_of(lines, blobs), None)


def _leaves(catalog: Catalog) -> dict[int, list[int]]:
    """Tables below each partitioned one, at any depth."""
    parents = {
        entry.ref[1]: [ref[1] for ref in entry.refs.get("inherits", ())]
        for entry in catalog.entries
        if entry.kind == "table" and "bound" in entry.facts
    }
    found: dict[int, list[int]] = {}
    for oid in parents:
        above = [oid]
        while above := [parent for each in above for parent in parents.get(each, ())]:
            for parent in above:
                found.setdefault(parent, []).append(oid)
    return found


def _without_roles(catalog: Catalog, known: frozenset[str], usable: frozenset[str]) -> tuple[Catalog, list[str]]:
    """The schema without owners, privileges and policies of roles that are not to be had."""
    missing: set[str] = set()
    entries = []
    for entry in catalog.entries:
        owner, grantees = _owner(entry), _grantees(entry)
        wanted = {owner} - usable if owner else set()
        unknown = {role for role in grantees if role and role not in known}
        missing |= wanted | unknown
        if entry.kind == "policy" and unknown:
            continue
        if entry.kind == "default privileges" and (entry.name[1] not in usable or unknown):
            missing.add(entry.name[1])
            continue
        entries.append(replace(entry, facts=_facts(entry, known, usable)) if wanted or unknown else entry)
    if not missing:
        return catalog, []
    text = f"the copy's server has no usable role {', '.join(sorted(missing))}: what these own, may do and see was not rehearsed"
    return replace(catalog, entries=tuple(entries)), [text]


def _owner(entry: Entry) -> str | None:
    owner: str | None = entry.facts.get("owner")
    return owner


def _grantees(entry: Entry) -> list[str]:
    items = [entry.facts.get(fact) or [] for fact in ("grants", "revokes", "allowed", "denied")]
    items += (entry.facts.get("column_grants") or {}).values()
    return [
        *(str(who) for each in items for who, *_ in each),
        *(_policy_roles(entry) if entry.kind == "policy" else ()),
    ]


def _policy_roles(entry: Entry) -> list[str]:
    """Roles of a policy, from its definition: ``… TO "a", b USING …``."""
    found = _TO.search(entry.definition)
    names = found[1].split(", ") if found else []
    return [name.strip('"').replace('""', '"') for name in names if name != "PUBLIC"]


def _facts(entry: Entry, known: frozenset[str], usable: frozenset[str]) -> dict[str, Any]:
    facts = dict(entry.facts)
    if facts.get("owner") not in usable:
        facts.pop("owner", None)
    for fact in ("grants", "revokes"):
        if fact in facts:
            facts[fact] = [item for item in facts[fact] if not item[0] or item[0] in known]
    if "column_grants" in facts:
        facts["column_grants"] = {
            column: [item for item in items if not item[0] or item[0] in known]
            for column, items in facts["column_grants"].items()
        }
    return facts
