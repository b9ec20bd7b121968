"""Labels of enums that have been renamed: a value is the label that it is, however that is called at the moment."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rollback_provider.components.postgres.catalog import Entry, Ref
from rollback_provider.components.postgres.catalog.sql_text import literal
from rollback_provider.components.postgres.reverse.changes import Changes
from rollback_provider.components.postgres.rows import field, text

_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^{},"]+)')
"""An element of an array's text, quoted or not; the bounds that may stand before it look like one, and are no label."""
_PLAIN = re.compile(r'[^{},"\\\s]+')
_LONGEST_LABEL = 63


@dataclass(frozen=True)
class Labels:
    """How labels of a column's values are called.

    :param renamed: what a label is called now, and what it was called in the snapshot; only those of which that differs
    :param array: the column holds arrays of them
    """

    renamed: dict[str, str]
    array: bool

    def as_then(self, value: str) -> str:
        """SQL for the text of a value, which is given as SQL, with labels as they were called in the snapshot."""
        if not self.array:
            cases = " ".join(f"when {literal(now)} then {literal(then)}" for now, then in self.renamed.items())
            return f"(case ({value})::text {cases} else ({value})::text end)"
        # By way of what cannot be a label, since two may have swapped their names. No subquery: a USING clause takes none.
        array = f"({value})::text::text[]"
        for place, now in enumerate(self.renamed):
            array = f"array_replace({array}, {literal(now)}, {_between(place)})"
        for place, then in enumerate(self.renamed.values()):
            array = f"array_replace({array}, {_between(place)}, {literal(then)})"
        return f"({array})::text"

    def as_now(self, stored: bytes) -> bytes:
        """A field of the snapshot's rows, with labels as they are called now."""
        value = text(stored)
        names = {then: now for now, then in self.renamed.items()}
        if value is None:
            return stored
        if not self.array:
            return field(names.get(value, value))

        def element(found: re.Match[str]) -> str:
            label = found[2] if found[1] is None else re.sub(r"\\(.)", r"\1", found[1])
            if label not in names or found[2] == "NULL":
                return found[0]
            return _element(names[label])

        return field(_ELEMENT.sub(element, value))


def labels_of(changes: Changes, column: Ref) -> Labels | None:
    """How the labels of a column of the snapshot have been renamed; None where they have not, or it holds no enum."""
    then = changes.then.by_ref[column]
    for ref in then.refs.get("type", ()):
        enum, now = changes.then.by_ref.get(ref), changes.matching.to_now.get(ref)
        if enum is not None and enum.kind == "enum" and now is not None:
            renamed = _renamed(enum, changes.now.by_ref[now])
            return Labels(renamed, bool(then.extra.get("array"))) if renamed else None
    return None


def _renamed(then: Entry, now: Entry) -> dict[str, str]:
    was = dict(zip(then.extra["labels"] or (), then.facts["labels"], strict=True))
    here = dict(zip(now.extra["labels"] or (), now.facts["labels"], strict=True))
    return {label: was[oid] for oid, label in here.items() if oid in was and was[oid] != label}


def _between(place: int) -> str:
    return literal(f"{place:_>{_LONGEST_LABEL + 1}}")


def _element(label: str) -> str:
    if _PLAIN.fullmatch(label) and label.upper() != "NULL":
        return label
    escaped = re.sub(r'(["\\])', r"\\\1", label)
    return f'"{escaped}"'
