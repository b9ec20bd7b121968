"""A migration's SQL run with its drops turned into soft ones: the effect is that of the script as it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from rollback_provider.components.postgres.soft_drop.scripts import run_script
from rollback_provider.core.acceptance import accept
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.repository import Store
from tests.components.fix.ddl_cases import part
from tests.components.fix.schema_text import schema_text
from tests.components.scenario import Scenario
from tests.fix_postgres import Database

SETUP = (
    part("shop")
    + """
create schema "s 1"; create table "s 1"."Ü;" ("a""b" int, "--" text, c int); insert into "s 1"."Ü;" values (1, 'x', 3);
create table parent (id int primary key); create table child (id int primary key, p int references parent);
create table a (x int, y int); create table b () inherits (a);
"""
)

LOCK = ["orders", "customers", "child", "a", "s 1.Ü;"]
"""For what the scripts drop for good or rewrite."""


@pytest.mark.parametrize(
    ("script", "soft", "left"),
    [
        ("drop view order_totals; drop table orders", ["orders"], []),
        ("drop table parent, child", ["child", "parent"], []),
        ("drop table if exists nothing, public.child, pg_catalog_nothing.x", ["public.child"], []),
        ("alter table orders drop note", ["orders.note"], []),
        ("alter table if exists nothing drop column x; alter table orders drop column if exists nothing", [], []),
        (
            "alter table orders drop note, drop column if exists status, drop if exists x",
            ["orders.note", "orders.status"],
            [],
        ),
        (
            '-- ä; drop table child\nalter /* é */ table orders drop note, add column note jsonb default \'{"ü": "%s 100 %"}\', alter status type varchar(20);',
            ["orders.note"],
            [],
        ),
        (
            """select 'drop table orders;', $x$;drop table orders;$x$; alter table "s 1"."Ü;" drop "a""b", drop "--"; select '%'""",
            ['s 1.Ü;.a"b', "s 1.Ü;.--"],
            [],
        ),
        ("drop table customers cascade", [], ["drop table customers cascade: CASCADE"]),
        (
            "alter table orders drop total cascade, drop note",
            [],
            ["alter table orders drop total cascade, drop note: CASCADE"],
        ),
        ('drop schema "s 1" cascade', [], ['drop schema "s 1" cascade: CASCADE']),
        ("do $$ begin drop table child; end $$", [], ["do $$ begin drop table child; end $$: a DO block"]),
        ("do $$ begin perform 1; end $$", [], []),
        ("alter table only a drop y", [], ["alter table only a drop y: ONLY"]),
        ("create temporary table t (a int); drop table t", [], ['drop table t: "t" is a temporary table']),
        (
            "alter table child add g int generated always as (id) stored; alter table child drop g, drop p",
            [],
            ['alter table child drop g, drop p: Column "child"."g" is generated'],
        ),
        ("drop index orders_status; drop view order_totals; drop sequence if exists x", [], []),
        ("", [], []),
    ],
)
def test_the_effect_is_that_of_the_script(
    database: Database,
    memory_store: Store,
    make_database: Callable[[], Database],
    script: str,
    soft: list[str],
    left: list[str],
) -> None:
    """Taken back it leaves nothing, and run again and accepted it leaves what the script itself would have left."""
    scenario = Scenario(database, memory_store).begin(SETUP)
    text = schema_text(database)
    with scenario.observed(lock=LOCK) as connection:
        report = run_script(connection, script)
    assert report.soft_dropped == soft
    assert len(report.left) == len(left)
    assert all(found.startswith(expected) for found, expected in zip(report.left, left, strict=True)), report.left
    if not left:
        scenario.back()
        assert schema_text(database) == text
        scenario.begin("select 1")
        with scenario.observed(lock=LOCK) as connection:
            run_script(connection, script)
    accept(memory_store, scenario.snapshot_id, database.resolve, scenario.progress, actor="test")
    judge = make_database()
    judge.run(SETUP)
    judge.run(script or "select 1")
    assert schema_text(database) == schema_text(judge)


@pytest.mark.parametrize(
    "script",
    [
        "drop table orders",
        "drop table parent",
        "drop table nothing",
        "alter table orders drop nothing",
        "alter table nothing drop x",
        "alter table orders drop note, add column total int",
        "drop table child, orders",
    ],
)
def test_what_fails_fails_alike(database: Database, script: str) -> None:
    """With the same kind of error, and nothing of it done."""
    database.run(SETUP)
    text = schema_text(database)
    with pytest.raises(psycopg.Error) as expected:
        database.run(script)
    with database.connect() as connection, pytest.raises(type(expected.value)):
        run_script(connection, script)
    assert schema_text(database) == text


def test_each_statement_has_its_own_transaction_where_none_is_open(database: Database) -> None:
    """So that what cannot run in one can be run."""
    database.run(SETUP)
    with database.connect() as connection:
        report = run_script(
            connection, "create index concurrently on orders (note); begin; drop table child; rollback; vacuum orders"
        )
    assert report.soft_dropped == ["child"]
    assert database.rows(
        "select to_regclass('child') is not null, count(*) from pg_indexes where indexname = 'orders_note_idx'"
    ) == [(True, 1)]


def test_what_is_no_sql_is_refused_before_anything_runs(database: Database) -> None:
    with database.connect() as connection, pytest.raises(ConfigurationError, match="not SQL"):
        run_script(connection, "create table made (); \\i other.sql")
    assert database.rows("select to_regclass('made')") == [(None,)]


def test_the_sample_migration(database: Database, memory_store: Store) -> None:
    """The one of the demo, run so: nothing has to be filled again."""
    folder = Path(__file__).parents[2] / "dags/ecommerce"
    scenario = Scenario(database, memory_store).begin((folder / "schema.sql").read_text())
    text = schema_text(database)
    with scenario.observed(lock=["products"]) as connection:
        report = run_script(connection, (folder / "migration.sql").read_text())
    assert len(report.soft_dropped) == 2
    assert report.left == []
    scenario.back()
    assert scenario.plan
    actions = [action for step in scenario.plan.steps for action in step.payload["actions"]]
    assert not {"recreate", "refill"} & {str(action.get("op", action["do"])) for action in actions}
    assert schema_text(database) == text
