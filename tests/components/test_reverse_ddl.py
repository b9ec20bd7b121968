"""Migrations taken back, done again, and taken back again; pg_dump says whether the schema is as it was."""

from __future__ import annotations

import pytest

from rollback_provider.components.postgres.catalog import Catalog, differences
from rollback_provider.components.postgres.reverse import reverse
from tests.components.fix.ddl_cases import Case, read_cases
from tests.components.fix.rollback import read_catalog, run_reversal
from tests.components.fix.schema_text import schema_text
from tests.fix_postgres import Database

CASES = read_cases()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_undo_redo_undo(database: Database, case: Case) -> None:
    database.run(case.setup)
    then, text = read_catalog(database), schema_text(database)
    _undo(database, then, case.migration)
    assert schema_text(database) == text
    again = read_catalog(database)
    assert differences(then, again) == []
    assert again.fingerprint() == then.fingerprint()
    _undo(database, then, case.migration)
    assert schema_text(database) == text


def _undo(database: Database, then: Catalog, migration: str) -> None:
    database.run(migration)
    now = read_catalog(database)
    assert bool(differences(then, now)) == (then.fingerprint() != now.fingerprint())
    reversal = reverse(then, now)
    assert reversal.refusals == ()
    run_reversal(database, reversal)
