"""``rollbackctl rehearse`` and ``certificate``, on a real PostgreSQL."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from rollback_provider.cli import main
from rollback_provider.core.model import utcnow
from rollback_provider.core.rehearsal.certificate import issue
from rollback_provider.core.rehearsal.run import load_rehearsal
from rollback_provider.store import open_store
from tests.components.test_postgres_failures import MIGRATION, SETUP
from tests.fix_postgres import Database

Command = Callable[..., Any]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, database: Database) -> Callable[..., None]:
    """Makes a connection known."""

    def add(name: str, **fields: str) -> None:
        given = {"conn_type": "postgres", "host": database.socket, "login": "postgres", "password": "hush"} | fields
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(given))

    return add


@pytest.fixture
def ctl(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Runs a command with ``--json`` and gives its document; with an error, its message."""

    def run(*words: str, code: int = 0) -> Any:
        capsys.readouterr()
        done = main([*words, "--store", (tmp_path / "store").as_uri(), "--json"])
        printed = capsys.readouterr()
        assert done == code, printed.out + printed.err
        assert "hush" not in printed.out + printed.err
        document = json.loads(printed.out)
        return document["error"]["message"] if "error" in document else document

    return run


@pytest.fixture
def snapshot_id(ctl: Command, connect: Callable[..., None], database: Database, tmp_path: Path) -> str:
    """A snapshot, and beside it the migration and the places to rehearse it in."""
    connect("orders_db", schema=database.name)
    connect("scratch", schema=f"{database.name}_copy")
    for name, letter in (("key", b"k"), ("other", b"o")):
        connect(name, login="", password=b64encode(letter * 32).decode())
    database.run(SETUP)
    (tmp_path / "spec.yaml").write_text("components: [{kind: postgres, name: orders, connection: orders_db}]\n")
    (tmp_path / "migration.sql").write_text(MIGRATION)
    return str(ctl("snapshot", "--migration", "orders", "--components", str(tmp_path / "spec.yaml"))["snapshot_id"])


def test_a_rehearsal_and_its_certificate(
    ctl: Command, snapshot_id: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ("--sql", str(tmp_path / "migration.sql"), "--alter", "t", "--alter", "gone", "--scratch", "scratch")
    certified = ("--drill", "half_applied", "--certify", "2w", "--key", "key")
    made = ctl("rehearse", snapshot_id, *source, *certified)
    rehearsal_id, certificate_id = made["rehearsal"]["id"], made["certificate_id"]
    assert [trial["status"] for trial in made["rehearsal"]["trials"]] == ["passed", "passed"]
    assert made["rehearsal"]["size"] == "full"

    for form, content in {"md": "half-applied", "html": "half-applied", "json": '"half_applied"'}.items():
        written = tmp_path / f"report.{form}"
        ctl("report", rehearsal_id, "--format", form, "-o", str(written))
        assert content in written.read_text("utf-8")

    shown = ctl("certificate", certificate_id, "--key", "key", "--snapshot", snapshot_id)
    assert shown["valid"]
    assert shown["certificate"]["drills"] == ["half_applied"]
    assert "another key" in ctl("certificate", certificate_id, "--key", "other", code=8)["problem"]
    (listed,) = ctl("list")["certificates"]
    assert (listed["id"], listed["expired"], listed["drills"]) == (certificate_id, False, ["half_applied"])
    database.run("alter table t add column late int")
    later = ctl("snapshot", "--migration", "orders", "--components", str(tmp_path / "spec.yaml"))["snapshot_id"]
    assert "another schema" in ctl("certificate", certificate_id, "--snapshot", later, code=8)["problem"]

    store = open_store((tmp_path / "store").as_uri())
    early = utcnow() - timedelta(days=2)
    monkeypatch.setattr("rollback_provider.core.rehearsal.certificate.utcnow", lambda: early)
    old = issue(store, load_rehearsal(store, rehearsal_id), timedelta(days=1), actor="test")
    monkeypatch.undo()
    assert "expired" in ctl("certificate", old.id, code=8)["problem"]
    assert "no certificate 'nope'" in ctl("certificate", "nope", code=3)


def test_a_rollback_that_fails_in_rehearsal_is_not_certified(ctl: Command, snapshot_id: str, tmp_path: Path) -> None:
    """With the policy to stop at conflicts, an application that writes to the migration's rows stops it."""
    source = ("--sql", str(tmp_path / "migration.sql"), "--alter", "t", "--alter", "gone", "--scratch", "scratch")
    policy = ("--conflicts", "fail", "--drill", "conflicting_writer", "--certify", "2w")
    made = ctl("rehearse", snapshot_id, *source, *policy, code=10)
    assert made["certificate_id"] is None
    trial = made["rehearsal"]["trials"][-1]
    assert (trial["drill"], trial["status"]) == ("conflicting_writer", "failed")
    assert "changed by the migration and by applications" in trial["detail"]


def test_bad_input_is_one_clear_error(
    ctl: Command, snapshot_id: str, connect: Callable[..., None], database: Database, tmp_path: Path
) -> None:
    """With its own exit code; nothing is made, nothing is lost."""
    source = ("--sql", str(tmp_path / "migration.sql"), "--scratch", "scratch")
    used, meek = (f"{database.name}_{word}" for word in ("used", "meek"))
    with psycopg.connect(f"host={database.socket} dbname=postgres user=postgres", autocommit=True) as admin:
        before = admin.execute("select datname from pg_database order by 1").fetchall()
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(used)))
        admin.execute(sql.SQL("create role {} login").format(sql.Identifier(meek)))
        Database(database.socket, used).run("create table precious (id int)")
        try:
            connect("scratch", schema=used)
            said = ctl("rehearse", snapshot_id, *source, code=2)
            assert "is not empty: it holds public.precious" in said
            assert "It was not touched" in said
            connect("scratch", schema=database.name)
            assert "is the original" in ctl("rehearse", snapshot_id, *source, code=2)
            connect("scratch", schema=f"{used}_copy", login=meek)
            assert f"ALTER ROLE {meek} CREATEDB" in ctl("rehearse", snapshot_id, *source, code=5)
            connect("scratch", schema=f"{used}_copy")
            connect("weak", login="", password="hush")  # noqa: S106  too short to be one
            for words, code, message in (
                ((), 2, "exactly one of sql, alembic and function"),
                ((*source, "--drill", "earthquake"), 2, "There is no drill 'earthquake'"),
                ((*source, "--component", "shop"), 2, "has no component 'shop'"),
                ((*source, "--runs", "0"), 2, "at least once"),
                ((*source, "--key", "weak", "--certify", "2w"), 2, "its password is not 32 bytes in base64"),
                ((*source, "--certify", "soon"), 2, "no length of time"),
                (("--sql", "/nonexistent/m.sql"), 2, "/nonexistent/m.sql cannot be read"),
                (("--alembic", "alembic.ini"), 2, "alembic commits by itself"),
                ((*source, "--fill", "t"), 2, "schema.table.column=expression"),
            ):
                assert message in ctl("rehearse", snapshot_id, *words, code=code)
            assert "no snapshot 'nope'" in ctl("rehearse", "nope", *source, code=3)
            assert Database(database.socket, used).rows("select count(*) from precious") == [(0,)]
        finally:
            admin.execute(sql.SQL("drop database {}").format(sql.Identifier(used)))
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(meek)))
        assert admin.execute("select datname from pg_database order by 1").fetchall() == before
