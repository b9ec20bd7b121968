"""NOT NULL that comes back on a large table before PostgreSQL 18: by way of a check that is validated without blocking anybody."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import psycopg
import pytest

from rollback_provider.components.postgres import steps
from rollback_provider.components.postgres.applying.ddl import Ddl
from rollback_provider.components.postgres.applying.not_null import NotNull
from rollback_provider.core.repository import Store
from tests.components.fix.schema_text import schema_text
from tests.components.scenario import Scenario
from tests.fix_postgres import Database
from tests.fix_servers import ALL, VERSIONS, socket_of

postgres_socket = socket_of(*(VERSIONS[:-1] if ALL else VERSIONS[:1]))
SETUP = """
create table t (id int primary key, a int not null, "B c" text constraint rollback_check check ("B c" <> '') not null);
create table p (id int not null, v text not null) partition by range (id);
create table p1 partition of p for values from (0) to (100);
insert into t select n, n, 'b' from generate_series(1, 50) n; insert into p select n, 'v' from generate_series(1, 50) n;
"""
MIGRATION = 'alter table t alter a drop not null, alter "B c" drop not null; alter table p alter v drop not null;'


@pytest.fixture
def scenario(database: Database, memory_store: Store, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """A database and a store; plans run in steps."""
    monkeypatch.setattr(steps, "ONE_TRANSACTION_ROWS", 0)
    return Scenario(database, memory_store).begin(SETUP)


def test_the_table_is_not_read_under_a_lock_that_stops_it(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server says itself that it knows without looking; nothing is left behind."""
    text, said = schema_text(scenario.database), []
    run = Ddl.run

    def listening(ddl: Ddl, *args: Any, **options: Any) -> None:
        ddl._session.add_notice_handler(_note)
        ddl._session.execute("set client_min_messages = debug1")
        run(ddl, *args, **options)

    def _note(notice: psycopg.errors.Diagnostic) -> None:
        said.append(notice.message_primary or "")

    scenario.migrate(MIGRATION).generate()
    with monkeypatch.context() as patch:
        patch.setattr(Ddl, "run", listening)
        scenario.execute()
    proven = {line for line in said if "sufficient to prove" in line}
    assert {line.split('"')[1] for line in proven} == {"t.a", "t.B c", "p.v", "p1.v"}
    assert schema_text(scenario.database) == text
    scenario.verify()


@pytest.mark.parametrize("transaction", ["_added", "_validated", "_replaced"])
def test_after_a_kill_nothing_is_left_behind(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, transaction: str
) -> None:
    """In whichever transaction; the next attempt finishes."""
    text = schema_text(scenario.database)
    scenario.migrate(MIGRATION).generate()
    run = getattr(NotNull, transaction)

    def killed(self: NotNull) -> None:
        run(self)
        raise RuntimeError("killed")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(NotNull, transaction, killed)
        scenario.execute()
    scenario.execute()
    assert schema_text(scenario.database) == text
    scenario.verify()


def test_a_null_written_since_is_named(scenario: Scenario) -> None:
    """Once, and the check is gone all the same. A user's own check of its name stays, and the plain statement does it."""
    name = "rollback_" + md5(b'"public"."t"."B c"', usedforsecurity=False).hexdigest()
    scenario.begin(f"alter table t rename constraint rollback_check to {name}").migrate(MIGRATION).application(
        "insert into t values (99, null, 'b')"
    ).generate()
    record = scenario.execute()
    (entry,) = scenario.entries(execution=record)
    assert entry["key"] == {"statement": 'ALTER TABLE "public"."t" ALTER COLUMN "a" SET NOT NULL'}
    rows = scenario.rows("select conname from pg_constraint where contype = 'c' and conrelid <> 0")
    assert rows == [(name,)]
    with pytest.raises(AssertionError, match="a is nullable, was NOT NULL"):
        scenario.verify()
