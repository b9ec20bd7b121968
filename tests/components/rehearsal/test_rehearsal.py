"""A migration rehearsed on a copy: the original stays as it is, every write is accounted for, nothing is left behind."""

from __future__ import annotations

import sys

import psycopg
import pytest
from psycopg import sql

from rollback_provider.components.postgres.merge import Merge
from rollback_provider.core.errors import (
    ConfigurationError,
    LockedError,
    RollbackError,
    StepFailedError,
)
from rollback_provider.core.rehearsal.run import load_rehearsal, rehearsal_ids
from rollback_provider.rehearsal import run_rehearsal
from rollback_provider.store import SnapshotStore
from tests.components.fix.schema_text import database_text
from tests.components.rehearsal.subject import Subject
from tests.fix_postgres import Database
from tests.fix_progress import RecordedProgress

SHAPE = "alter table orders rename column status to state; alter table orders add column note text; drop view spending"


def test_a_rehearsal_on_a_given_server(subject: Subject) -> None:
    before = database_text(subject.database)
    rehearsal = subject.rehearse()
    (trial,) = rehearsal.trials
    assert (rehearsal.status, trial.detail, trial.differences, trial.writes.lost) == ("passed", "", (), ())
    assert trial.writes.acknowledged >= 40
    assert {"snapshot", "migrate", "generate", "execute", "verify"} <= trial.seconds.keys()
    assert any("orders" in what for what in trial.locks)
    assert trial.steps
    assert any("drills that were not asked for" in line for line in rehearsal.uncovered)
    assert load_rehearsal(subject.store, rehearsal.id) == rehearsal
    assert rehearsal_ids(subject.store) == [rehearsal.id]
    assert database_text(subject.database) == before
    assert subject.databases() == {subject.database.name}


def test_the_original_is_out_of_reach(subject: Subject) -> None:
    """The copies' role may not even connect to it, and with its snapshot in the store it need not be there at all."""
    role = f"{subject.database.name}_rehearser"
    subject.database.run(
        f"create role {role} login createdb; revoke connect on database {subject.database.name} from public"
    )
    try:
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            Database(subject.database.socket, subject.database.name, role).connect()
        scratch = subject.connection(f"{subject.database.name}_copy", role)
        rehearsal = subject.rehearse(scratch=scratch, size="sampled", rows=1)
        assert rehearsal.status == "passed", rehearsal
        assert any("no usable role postgres" in line for line in rehearsal.uncovered)
        assert rehearsal.rows == 4, "an order, a coupon, a customer, and the customer of that order"
        name = sql.Identifier(subject.database.name)
        with psycopg.connect(f"host={subject.database.socket} dbname=postgres user=postgres", autocommit=True) as admin:
            admin.execute(sql.SQL("alter database {} rename to gone").format(name))
            subject.file.write_text(SHAPE)
            assert subject.rehearse(size="schema").status == "passed"
            admin.execute(sql.SQL("alter database gone rename to {}").format(name))
    finally:
        subject.database.run(f"drop role {role}")


def test_a_scratch_connection_names_a_database(subject: Subject) -> None:
    """What else is refused of it stands among the tests of the command line."""
    with pytest.raises(ConfigurationError, match="names no database"):
        subject.rehearse(scratch=subject.connection(""))


FUNCTIONS = """
def good(connection):
    connection.execute("update orders set status = 'done' where id <= 5")

def bad(connection):
    raise ValueError("what a mess")
"""
ENV = """
from alembic import context
from sqlalchemy import create_engine, pool
engine = create_engine({url}, poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
from alembic import op
revision, down_revision = "1", None
def upgrade():
    op.execute("alter table orders add column tax int default 5; update orders set status = 'taxed' where id < 9")
"""


def test_a_function_and_what_it_raises(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    (subject.folder / "shop_migration.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(subject.folder))
    rehearsal = subject.rehearse({"function": "shop_migration:good", "lock": ["orders"]})
    assert rehearsal.status == "passed", rehearsal.trials
    with pytest.raises(StepFailedError, match=r"shop_migration:bad has failed: ValueError: what a mess.*thrown away"):
        subject.rehearse({"function": "shop_migration:bad"})
    assert subject.databases() == {subject.database.name}
    sys.modules.pop("shop_migration")


def test_alembic(subject: Subject) -> None:
    """Quietly, with the connection that it is given; an env.py that would go elsewhere is not run."""
    versions = subject.folder / "alembic" / "versions"
    versions.mkdir(parents=True)
    ini = subject.folder / "alembic.ini"
    ini.write_text(f"[alembic]\nscript_location = {versions.parent}\npath_separator = os\n")
    (versions / "1_tax.py").write_text(REVISION)
    environment = versions.parent / "env.py"
    environment.write_text(ENV.format(url="context.config.get_main_option('sqlalchemy.url')"))
    rehearsal = subject.rehearse({"alembic": str(ini), "quiet": True})
    assert rehearsal.status == "passed", rehearsal.trials
    assert any("nobody wrote while the migration ran" in line for line in rehearsal.uncovered)
    environment.write_text(ENV.format(url="'postgresql://production'"))
    with pytest.raises(ConfigurationError, match=r"env\.py takes its connection neither"):
        subject.rehearse({"alembic": str(ini), "quiet": True})


@pytest.mark.parametrize(
    ("migration", "error", "message"),
    [
        ({"sql": ["/nonexistent/migration.sql"]}, ConfigurationError, r"/nonexistent/migration\.sql cannot be read"),
        ({"function": "no_such_module:migrate"}, ConfigurationError, "no_such_module:migrate cannot be imported"),
        ({"sql": ["a.sql"], "function": "a:b"}, ConfigurationError, "exactly one of sql, alembic and function"),
        ({"alembic": "alembic.ini"}, ConfigurationError, "alembic commits by itself"),
        ({"statements": "drop table"}, ConfigurationError, "malformed"),
    ],
)
def test_bad_migrations(
    memory_store: SnapshotStore, migration: object, error: type[RollbackError], message: str
) -> None:
    """Before anything is made, or looked for."""
    with pytest.raises(error, match=message):
        run_rehearsal(memory_store, "nope", migration, RecordedProgress(), actor="test")


def test_a_statement_that_fails_is_named(subject: Subject) -> None:
    subject.file.write_text("alter table orders drop column never_was")
    with pytest.raises(StepFailedError, match=r"migration\.sql has failed: UndefinedColumn: .*never_was"):
        subject.rehearse()
    assert subject.databases() == {subject.database.name}


def test_two_rehearsals_in_one_place(subject: Subject) -> None:
    with subject.database.connect() as other:
        other.execute("select 1")
        with psycopg.connect(f"host={subject.database.socket} dbname=postgres user=postgres") as admin:
            admin.execute("select pg_advisory_lock(%s, hashtext(%s))", [0x72656865, subject.scratch.schema])
            with pytest.raises(LockedError, match="Another rehearsal uses database"):
                subject.rehearse()


def test_what_a_killed_rehearsal_leaves_behind_is_taken_over(subject: Subject) -> None:
    with subject.database.connect() as admin:
        name = sql.Identifier(subject.scratch.schema or "")
        admin.execute(sql.SQL("create database {}").format(name))
        mark = "made by rollback-provider for a rehearsal, and dropped after it"
        admin.execute(sql.SQL("comment on database {} is {}").format(name, mark))
    Database(subject.database.socket, subject.scratch.schema or "").run("create table left_over (id int)")
    subject.file.write_text(SHAPE)
    assert subject.rehearse(size="schema").status == "passed"
    assert subject.databases() == {subject.database.name}


def test_a_planted_bug_in_the_merge_is_caught(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge that takes what applications wrote for what the migration left: their writes are lost, and the ledger says they stay."""

    def reckless(self: Merge, *, returning: bool = False) -> sql.Composed:
        sets = [
            sql.SQL("{} = s.{}::{}").format(sql.Identifier(c.name), sql.Identifier(f"o{i}"), sql.SQL(c.type))
            for i, c in enumerate(self.columns)
        ]
        return self._updating(sets, sql.SQL("true").format(), returning=returning)

    monkeypatch.setattr(Merge, "update", reckless)
    subject.file.write_text("update orders set status = 'moved', legacy = 'moved' where id < 25")
    rehearsal = subject.rehearse(drills=["conflicting_writer"])
    lost = [line for trial in rehearsal.trials for line in trial.writes.lost]
    assert rehearsal.status == "failed"
    assert any("public.orders" in line and "the ledger does not give it up" in line for line in lost), rehearsal
