"""Migrations to be taken back, from the files in ``ddl``.

A file holds cases: ``## name``, or ``## name [15+]`` where it needs PostgreSQL 15 or later, the SQL that makes what is there before, a line ``=>``, and the SQL of the migration.
A line ``:part`` stands for that part of ``parts.sql``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent / "ddl"


class Case(NamedTuple):
    """A migration and the schema that it meets, both as SQL, and the first version of PostgreSQL that knows what they say."""

    name: str
    setup: str
    migration: str
    since: int = 0


def read_cases(*names: str) -> list[Case]:
    """Cases of these files; of all where none are named."""
    parts = dict(_sections("parts"))
    files = names or sorted(path.stem for path in _FOLDER.glob("*.sql") if path.stem != "parts")
    cases = []
    for file in files:
        for name, text in _sections(file):
            setup, migration = _with_parts(text, parts).split("=>\n")
            title, _, since = name.removesuffix("+]").partition(" [")
            cases.append(Case(f"{file}: {title}", setup, migration, int(since or 0)))
    return cases


def part(name: str) -> str:
    """SQL of a part."""
    parts = dict(_sections("parts"))
    return _with_parts(parts[name], parts)


def _sections(file: str) -> list[tuple[str, str]]:
    _, *sections = re.split(r"^## ", (_FOLDER / f"{file}.sql").read_text(), flags=re.MULTILINE)
    return [(name, text) for name, _, text in (section.partition("\n") for section in sections)]


def _with_parts(text: str, parts: dict[str, str]) -> str:
    return re.sub(r"^:(\w+)$", lambda found: _with_parts(parts[found[1]], parts), text, flags=re.MULTILINE)
