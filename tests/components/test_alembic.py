"""Soft drops in Alembic migrations, with each driver, taken back by us."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from rollback_provider.components.postgres.reserved import DropRecord
from rollback_provider.core.capturer import take_checkpoint
from rollback_provider.core.repository import Store
from tests.components.fix.schema_text import schema_text
from tests.components.scenario import Scenario
from tests.fix_postgres import Database

ENV = """
from alembic import context
from sqlalchemy import create_engine

url = context.config.get_main_option("sqlalchemy.url")
if context.is_offline_mode():
    context.configure(url=url)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(url)
    with engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()
"""
FIRST = """
from alembic import op

revision, down_revision = "first", None

def upgrade():
    op.execute("create schema shop")
    op.execute('create table orders (id int primary key, "legacy % code" text not null unique)')
    op.execute("insert into orders values (1, 'x')")
    op.execute("create table shop.promotions (id serial primary key)")
"""
SECOND = """
from alembic import op

import rollback_provider.alembic

revision, down_revision = "second", "first"

def upgrade():
    op.soft_drop_column("orders", "legacy % code")
    op.soft_drop_table("promotions", schema="shop")
"""


@pytest.fixture
def alembic(database: Database, tmp_path: Path) -> Callable[[str], Config]:
    """Makes Alembic's configuration for a driver."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENV)
    for name, text in (("first", FIRST), ("second", SECOND)):
        (tmp_path / "versions" / f"{name}.py").write_text(text)

    def make(driver: str) -> Config:
        config = Config()
        config.set_main_option("script_location", str(tmp_path))
        config.set_main_option("path_separator", "os")
        url = f"{driver}://{database.user}@/{database.name}?host={database.socket}"
        config.set_main_option("sqlalchemy.url", url)
        return config

    return make


@pytest.mark.parametrize("driver", ["postgresql+psycopg2", "postgresql+psycopg"])
def test_a_migration_soft_drops_and_is_taken_back(
    database: Database,
    memory_store: Store,
    alembic: Callable[[str], Config],
    monkeypatch: pytest.MonkeyPatch,
    driver: str,
) -> None:
    config = alembic(driver)
    command.upgrade(config, "first")
    scenario = Scenario(database, memory_store).begin("select 1")
    text = schema_text(database)
    monkeypatch.setenv("PGOPTIONS", f"-c rollback.snapshot={scenario.snapshot_id}")
    command.upgrade(config, "second")
    take_checkpoint(memory_store, scenario.snapshot_id, database.resolve, scenario.progress, actor="test")
    comments = database.rows("select description from pg_description where description like '{\"softDrop\"%'")
    records = [DropRecord.from_comment(comment) for (comment,) in comments]
    assert {(record.name, record.snapshot) for record in records if record} == {
        ("legacy % code", scenario.snapshot_id),
        ("promotions", scenario.snapshot_id),
    }
    database.run("insert into orders (id) values (2); delete from orders where id = 2")
    scenario.back()
    assert schema_text(database) == text
    assert database.rows("select * from orders") == [(1, "x")]
    assert database.rows("select version_num from alembic_version") == [("first",)]


def test_it_fails_as_a_drop_does(database: Database, alembic: Callable[[str], Config]) -> None:
    """Alembic undoes the whole migration."""
    config = alembic("postgresql+psycopg2")
    command.upgrade(config, "first")
    text = schema_text(database)
    database.run('create view v as select "legacy % code" from orders')
    with pytest.raises(Exception, match="cannot drop column legacy % code of table orders"):
        command.upgrade(config, "second")
    database.run("drop view v")
    assert schema_text(database) == text


def test_it_cannot_be_written_out(alembic: Callable[[str], Config]) -> None:
    with pytest.raises(CommandError, match="--sql"):
        command.upgrade(alembic("postgresql+psycopg2"), "first:second", sql=True)


def test_it_needs_postgresql(alembic: Callable[[str], Config], tmp_path: Path) -> None:
    config = alembic("postgresql+psycopg2")
    (tmp_path / "versions" / "first.py").write_text('revision, down_revision = "first", None\ndef upgrade(): pass\n')
    config.set_main_option("sqlalchemy.url", "sqlite://")
    with pytest.raises(CommandError, match="not sqlite"):
        command.upgrade(config, "second")
