"""One object of a database's schema, as the catalog sees it: what it is called, what it is, what it needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Ref = tuple[int, int, int]
"""Identity of an object within one database: (classid, objid, objsubid), as in pg_depend."""

FIRST_USER_OID = 16384
"""Objects below were made by initdb and are the same in every database of a major version."""

CLASS_ACCESS_METHOD = 2601
CLASS_CAST = 2605
CLASS_COLLATION = 3456
CLASS_CONSTRAINT = 2606
CLASS_CONVERSION = 2607
CLASS_DEFAULT = 2604
CLASS_DEFAULT_PRIVILEGES = 826
CLASS_EVENT_TRIGGER = 3466
CLASS_EXTENSION = 3079
CLASS_FOREIGN_SERVER = 1417
CLASS_FOREIGN_WRAPPER = 2328
CLASS_FUNCTION = 1255
CLASS_INDEX_FUNCTION = 2603
CLASS_INDEX_OPERATOR = 2602
CLASS_LANGUAGE = 2612
CLASS_OPERATOR = 2617
CLASS_OPERATOR_CLASS = 2616
CLASS_OPERATOR_FAMILY = 2753
CLASS_POLICY = 3256
CLASS_PUBLICATION = 6104
CLASS_PUBLICATION_SCHEMA = 6237
CLASS_PUBLICATION_TABLE = 6106
CLASS_RELATION = 1259
CLASS_REWRITE = 2618
CLASS_SCHEMA = 2615
CLASS_STATISTICS = 3381
CLASS_TEXT_CONFIGURATION = 3602
CLASS_TEXT_DICTIONARY = 3600
CLASS_TEXT_PARSER = 3601
CLASS_TEXT_TEMPLATE = 3764
CLASS_TRANSFORM = 3576
CLASS_TRIGGER = 2620
CLASS_TYPE = 1247
CLASS_USER_MAPPING = 1418
"""OIDs of the system catalogs. They never change: clients such as pg_dump rely on them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object.

    :param kind: name of its kind, as in ``kinds.KINDS``
    :param ref: identity within the database
    :param name: names from the schema down, unquoted; unique within the kind
    :param parent: the object that it is a part of: a column's table
    :param facts: what is true of it, by name alone, without what is usual; part of the fingerprint
    :param definition: its definition as SQL text of the server's; part of the fingerprint
    :param stored: hash of the definition as the server keeps it, in which renamed objects are still the same
    :param refs: for facts that name other objects: which objects those are
    :param extra: what is no part of the schema as a person sees it: physical order, file numbers
    :param depends: objects that must be there before it
    """

    kind: str
    ref: Ref
    name: tuple[str, ...]
    parent: Ref | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    definition: str = ""
    stored: str = ""
    refs: dict[str, tuple[Ref, ...]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    depends: tuple[Ref, ...] = ()

    @property
    def schema(self) -> str:
        """Name of its schema, or of itself where it is in none."""
        return self.name[0]

    @property
    def label(self) -> str:
        """Kind and name, for people."""
        return f"{self.kind} {'.'.join(self.name)}"

    def to_json(self) -> list[Any]:
        """As plain JSON, short: there may be hundreds of thousands."""
        refs = {key: [list(ref) for ref in value] for key, value in self.refs.items()}
        parent = list(self.parent) if self.parent else None
        depends = [list(ref) for ref in self.depends]
        return [
            self.kind,
            list(self.ref),
            list(self.name),
            parent,
            self.facts,
            self.definition,
            self.stored,
            refs,
            self.extra,
            depends,
        ]

    @classmethod
    def from_json(cls, value: list[Any]) -> Entry:
        """From what `to_json` gave."""
        kind, ref, name, parent, facts, definition, stored, refs, extra, depends = value
        return cls(
            kind=kind,
            ref=to_ref(ref),
            name=tuple(name),
            parent=to_ref(parent) if parent else None,
            facts=facts,
            definition=definition,
            stored=stored,
            refs={key: tuple(to_ref(item) for item in items) for key, items in refs.items()},
            extra=extra,
            depends=tuple(to_ref(item) for item in depends),
        )


def to_ref(value: list[Any]) -> Ref:
    """An identity from JSON, where PostgreSQL writes oids as strings."""
    classid, oid, sub = value
    return (int(classid), int(oid), int(sub))
