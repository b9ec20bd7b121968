"""A subject for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollback_provider.store import SnapshotStore
from tests.components.rehearsal.subject import Subject
from tests.fix_postgres import Database


@pytest.fixture
def subject(database: Database, file_store: SnapshotStore, tmp_path: Path) -> Subject:
    """The shop, with its snapshot taken."""
    return Subject(database, file_store, tmp_path)
