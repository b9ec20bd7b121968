"""The catalog: all objects of the schemas looked at, at one moment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rollback_provider.components.postgres.catalog.entry import Entry, Ref, to_ref
from rollback_provider.components.postgres.catalog.table_view import read_tables
from rollback_provider.components.postgres.tables import Table


@dataclass(frozen=True)
class Sequence:
    """A sequence; what it has counted to is data."""

    schema: str
    name: str
    oid: int


@dataclass(frozen=True)
class Catalog:
    """Objects of a database, by identity.

    :param system_identifier: of the server's data directory; with `database` it says whether oids can be compared
    :param database: oid of the database
    :param timeline: of the server's log: another one after a failover or a recovery to an earlier moment
    :param server_version: server_version_num
    :param role: who read it; owns what is created
    :param superuser: whether that role may do what takes a superuser
    :param entries: the objects
    :param outside: objects that are not looked at but need some that are: (what is needed, a description of what needs it)
    :param casts: ``"source target"`` (type names as format_type gives them) for all casts, with pg_cast's castcontext
    """

    system_identifier: str
    database: int
    timeline: str
    server_version: int
    role: str
    superuser: bool
    entries: tuple[Entry, ...]
    outside: tuple[tuple[Ref, str], ...] = ()
    casts: tuple[tuple[str, str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "system_identifier": self.system_identifier,
            "database": self.database,
            "timeline": self.timeline,
            "server_version": self.server_version,
            "role": self.role,
            "superuser": self.superuser,
            "entries": [entry.to_json() for entry in self.entries],
            "outside": [[list(ref), description] for ref, description in self.outside],
            "casts": [list(cast) for cast in self.casts],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Catalog:
        """From what `to_json` gave."""
        return cls(
            system_identifier=value["system_identifier"],
            database=value["database"],
            timeline=value.get("timeline", ""),
            server_version=value["server_version"],
            role=value["role"],
            superuser=value["superuser"],
            entries=tuple(Entry.from_json(entry) for entry in value["entries"]),
            outside=tuple((to_ref(ref), description) for ref, description in value["outside"]),
            casts=tuple((source, target, context) for source, target, context in value["casts"]),
        )

    def fingerprint(self) -> str:
        """sha256 over names and facts: equal for equal schemas, whatever the oids and the physical order of columns."""
        normal = sorted(
            (entry.kind, entry.name, entry.definition, sorted(entry.facts.items())) for entry in self.entries
        )
        return hashlib.sha256(json.dumps(normal, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def tables(self) -> tuple[Table, ...]:
        """Tables that hold rows: ordinary ones and leaf partitions, by schema and name."""
        return self._tables

    def sequences(self) -> tuple[Sequence, ...]:
        """All sequences, those of identity columns included, by schema and name."""
        found = (
            Sequence(entry.name[0], entry.name[1], entry.ref[1]) for entry in self.entries if entry.kind == "sequence"
        )
        return tuple(sorted(found, key=lambda sequence: (sequence.schema, sequence.name)))

    @cached_property
    def by_ref(self) -> dict[Ref, Entry]:
        """Objects by identity."""
        return {entry.ref: entry for entry in self.entries}

    @cached_property
    def children(self) -> dict[Ref, list[Entry]]:
        """Parts of each object, such as the columns of a table."""
        found: dict[Ref, list[Entry]] = {}
        for entry in self.entries:
            if entry.parent is not None:
                found.setdefault(entry.parent, []).append(entry)
        return found

    @cached_property
    def _tables(self) -> tuple[Table, ...]:
        return read_tables(self.entries, self.children)

    def same_database(self, other: Catalog) -> bool:
        """Whether identities of both mean the same objects."""
        return (self.system_identifier, self.database) == (other.system_identifier, other.database)

    def same_history(self, other: Catalog) -> bool:
        """Whether transaction ids of both mean the same transactions: a server that took over, or went back, may have used some again."""
        return self.same_database(other) and self.timeline == other.timeline
