"""The shop's database: made once from ``dags/ecommerce``, then copied for every demo."""

from __future__ import annotations

import hashlib
from pathlib import Path

import psycopg
from psycopg import sql

from rollback_provider.components.postgres.embedded import Server

DATABASE = "shop"
OWNER = "shop"
"""An ordinary role that owns the database and is no superuser: the demo needs no more."""


def create_shop(server: Server, scripts: Path) -> None:
    """Makes the database :data:`DATABASE` afresh, from a template that is loaded when it is new or the scripts changed.

    :param scripts: directory of ``schema.sql`` and ``data.sql``
    """
    texts = [(scripts / name).read_text("utf-8") for name in ("schema.sql", "data.sql")]
    template = f"{DATABASE}_template_{hashlib.sha256(''.join(texts).encode()).hexdigest()[:12]}"
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        if not connection.execute("select 1 from pg_roles where rolname = %s", [OWNER]).fetchone():
            connection.execute(sql.SQL("create role {} login").format(sql.Identifier(OWNER)))
        known = [row[0] for row in connection.execute("select datname from pg_database").fetchall()]
    if template not in known:
        loading = f"{DATABASE}_loading"
        server.create(loading, owner=OWNER)
        with psycopg.connect(server.dsn(loading, OWNER), autocommit=True) as connection:
            for text in texts:
                connection.execute(text.encode())
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("alter database {} rename to {}").format(sql.Identifier(loading), sql.Identifier(template))
            )
    for old in known:
        if old.startswith(f"{DATABASE}_template_") and old != template:
            server.drop(old)
    server.create(DATABASE, template=template, owner=OWNER)
