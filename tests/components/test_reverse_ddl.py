"""Migrations taken back, done again, and taken back again; pg_dump says whether schema and rows are as they were."""

from __future__ import annotations

import pytest

from rollback_provider.core.repository import Store
from tests.components.fix.ddl_cases import Case, read_cases
from tests.components.fix.schema_text import database_text
from tests.components.scenario import Scenario
from tests.fix_postgres import Database
from tests.fix_servers import socket_of, spread

CASES = [(version, case) for version, case in spread(read_cases()) if version >= case.since]
postgres_socket = socket_of()


@pytest.mark.parametrize(
    ("postgres_socket", "case"),
    CASES,
    indirect=["postgres_socket"],
    ids=[f"{version} {case.name}" for version, case in CASES],
)
def test_undo_redo_undo(database: Database, memory_store: Store, case: Case) -> None:
    """First without a checkpoint, then with one."""
    scenario = Scenario(database, memory_store).begin(case.setup)
    before = database_text(database)
    database.run(case.migration)
    scenario.generate()
    scenario.execute()
    assert database_text(database) == before
    scenario.migrate(case.migration).back()
    assert database_text(database) == before
