"""Rows that a rollback has left wrong, and that look as if applications had written them, are told apart by who wrote them last."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from rollback_provider.core.executor import execute
from rollback_provider.core.repository import Store
from rollback_provider.core.verifier import verify
from rollback_provider.store import SnapshotStore, open_store
from tests.components.fix.lapses import planned_wrongly
from tests.components.planted import APPLICATION, LAPSES, MIGRATION, SETUP, Lapse
from tests.components.scenario import Scenario
from tests.fix_postgres import Database


@pytest.fixture(scope="module")
def lapsed(postgres_socket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """What verification says of a rollback whose plan had every lapse."""
    store: SnapshotStore = open_store((tmp_path_factory.mktemp("lapsed") / "store").as_uri())
    database = Database(postgres_socket, "lapsed")
    admin = psycopg.connect(f"host={postgres_socket} dbname=postgres user=postgres", autocommit=True)
    admin.execute("create database lapsed")
    try:
        scenario = Scenario(database, store).begin(SETUP)
        scenario.migrate(MIGRATION + "insert into app.log values (now(), 'by the migration')").application(APPLICATION)
        rollback_id = planned_wrongly(store, scenario.generate(), LAPSES)
        execute(store, rollback_id, database.resolve, scenario.progress, actor="test")
        record = verify(store, rollback_id, database.resolve, scenario.progress, actor="test")
        checks = [check for check in record.execution.verification.checks if check.status == "failed"]
        found = (text for check in checks for text in (check.detail, *check.differences))
        yield [text for text in found if not text.endswith("by applications)")]
    finally:
        admin.execute("drop database lapsed with (force)")
        admin.execute("drop role planted_owner; drop role planted_clerk")
        admin.close()


@pytest.mark.parametrize("lapse", LAPSES, ids=lambda lapse: lapse.what)
def test_what_only_looks_like_an_applications_write_is_named(lapsed: list[str], lapse: Lapse) -> None:
    assert [text for text in lapsed if lapse.named in text], "\n".join(lapsed)


def test_without_a_checkpoint_all_that_was_written_before_the_plan_should_be_back(
    database: Database, memory_store: Store
) -> None:
    scenario = Scenario(database, memory_store).begin(
        "create table t (id int primary key, v text); insert into t select n, 'old' from generate_series(1, 9) n"
    )
    plan = scenario.application("update t set v = 'new' where id <= 3").generate()
    lapse = Lapse("a row that does not go back", "public.t", "update", b"2", None, "")
    rollback_id = planned_wrongly(memory_store, plan, [lapse])
    execute(memory_store, rollback_id, database.resolve, scenario.progress, actor="test")
    scenario.application("update t set v = 'mine' where id = 5")
    record = verify(memory_store, rollback_id, database.resolve, scenario.progress, actor="test")
    (rows,) = [check for check in record.execution.verification.checks if check.name == "rows"]
    assert rows.status == "failed"
    assert rows.differences == (
        "row id=2: v is 'new', was 'old': written before the rollback was planned, and neither taken back nor listed",
    )
