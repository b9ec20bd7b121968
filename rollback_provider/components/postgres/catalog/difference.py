"""What differs between two catalogs, by name, in words."""

from __future__ import annotations

from typing import Any

from rollback_provider.components.postgres.catalog.entry import Entry
from rollback_provider.components.postgres.catalog.model import Catalog

_WORDS = {
    "not_null": "nullability",
    "grants": "granted privileges",
    "revokes": "revoked privileges",
    "owned_by": "owning column",
    "bound": "partition bound",
    "detaching": "unfinished detaching",
}
_CODES = {
    "enabled": {"D": "disabled", "R": "in replicas only", "A": "always"},
    "identity": {"a": "always", "d": "by default"},
    "generated": {"s": "stored", "v": "virtual"},
    "storage": {"p": "plain", "e": "external", "m": "main", "x": "extended"},
    "compression": {"p": "pglz", "l": "lz4"},
    "replica_identity": {"n": "nothing", "f": "full"},
}
"""Letters of the system catalogs, for people."""


def differences(then: Catalog, now: Catalog) -> list[str]:
    """One sentence for each difference; none exactly where the fingerprints are equal. Parts of what is new or gone are not listed."""
    before, after = ({(entry.kind, entry.name): entry for entry in catalog.entries} for catalog in (then, now))
    found = [
        f"{entry.label} is gone"
        for key, entry in before.items()
        if key not in after and not _whole_in(entry, then, before, after)
    ]
    found += [
        f"{entry.label} is new"
        for key, entry in after.items()
        if key not in before and not _whole_in(entry, now, after, before)
    ]
    for key in before.keys() & after.keys():
        found += _changes(before[key], after[key])
    return sorted(found)


def _whole_in(entry: Entry, catalog: Catalog, mine: dict[Any, Entry], other: dict[Any, Entry]) -> bool:
    """Whether what it is a part of is listed already."""
    parent = catalog.by_ref.get(entry.parent) if entry.parent else None
    return parent is not None and (parent.kind, parent.name) in mine and (parent.kind, parent.name) not in other


def _changes(then: Entry, now: Entry) -> list[str]:
    found = []
    if then.definition != now.definition:
        found.append(f"{then.label} is {_short(now.definition)}, was {_short(then.definition)}")
    for fact in sorted(then.facts.keys() | now.facts.keys()):
        was, is_ = then.facts.get(fact), now.facts.get(fact)
        if was == is_:
            continue
        if fact == "type" and then.kind == "column":
            found.append(f"{then.label} is {is_}, was {was}")
        elif fact == "not_null":
            found.append(
                f"{then.label} is {'NOT NULL' if is_ else 'nullable'}, was {'NOT NULL' if was else 'nullable'}"
            )
        else:
            found.append(
                f"{then.label}: {_WORDS.get(fact, fact.replace('_', ' '))} is {_value(fact, is_)}, was {_value(fact, was)}"
            )
    return found


def _value(fact: str, value: Any) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "; ".join(f"{name} {_value(fact, item)}" for name, item in value.items())
    if isinstance(value, list) and fact in {"grants", "revokes", "allowed", "denied", "column_grants"}:
        return ", ".join(
            f"{who or 'PUBLIC'} {what}{' with grant option' if again else ''}" for who, what, again in value
        )
    if isinstance(value, list):
        separator = " " if fact == "attributes" else "."
        return ", ".join(
            separator.join(map(str, filter(None, item))) if isinstance(item, list) else str(item) for item in value
        )
    return _CODES.get(fact, {}).get(value, str(value))


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 160 else f"{flat[:150]}… ({len(flat)} characters)"
