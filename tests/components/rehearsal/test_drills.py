"""Every drill strikes, a retry converges, and the history checker is content: on the newest version, with ``make drills`` on all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rollback_provider.components.postgres.rehearsal import copies
from rollback_provider.components.postgres.rehearsal.scratch import Scratch
from rollback_provider.core.rehearsal.copies import Place
from rollback_provider.rehearsal import ALL_DRILLS
from rollback_provider.store import SnapshotStore
from tests.components.rehearsal.subject import Subject
from tests.fix_postgres import Database
from tests.fix_servers import ALL, VERSIONS, socket_of

postgres_socket = socket_of()
FAILED_ATTEMPTS = {  # at least: a busy machine may cost one more
    "backend_killed": 1,
    "worker_killed": 3,
    "lock_held": 0,
    "statement_timeout": 1,
    "connection_lost": 1,
    "store_unavailable": 3,
    "store_slow": 0,
    "disk_full": 1,
    "half_applied": 0,
    "conflicting_writer": 0,
}


@pytest.mark.parametrize("postgres_socket", VERSIONS if ALL else VERSIONS[-1:], indirect=True)
def test_drills(database: Database, file_store: SnapshotStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a server of its own; here it stands for the one that a rehearsal starts, which has one version only."""
    subject = Subject(database, file_store, tmp_path)

    @contextmanager
    def server(component: str, place: Place) -> Iterator[Scratch]:
        yield Scratch(component, subject.scratch, own=True)

    database.run("alter role postgres set synchronous_commit = on")  # else its crash loses what it has acknowledged
    monkeypatch.setattr(copies, "_server", server)
    try:
        rehearsal = subject.rehearse(scratch=None, drills=ALL_DRILLS)
    finally:
        database.run("alter role postgres reset synchronous_commit")
    found = {trial.drill: trial for trial in rehearsal.trials}
    for trial in rehearsal.trials:
        assert (trial.status, trial.detail, trial.differences, trial.writes.lost) == ("passed", "", (), ()), trial
        assert trial.writes.acknowledged >= 40
    failed = {name: len(found[name].met) for name in ALL_DRILLS}
    assert [name for name, least in FAILED_ATTEMPTS.items() if failed[name] < least] == [], failed
    assert all(found[name].injected for name in ALL_DRILLS)
    assert found["conflicting_writer"].ledger["conflict_kept"]
    assert rehearsal.drills == ALL_DRILLS
    assert not [line for line in rehearsal.uncovered if "drill" in line]


@pytest.mark.parametrize("postgres_socket", VERSIONS[-1:], indirect=True)
def test_a_rehearsal_on_a_server_of_its_own(database: Database, file_store: SnapshotStore, tmp_path: Path) -> None:
    """The one that is started here, and gone afterwards."""
    subject = Subject(database, file_store, tmp_path)
    rehearsal = subject.rehearse(scratch=None)
    assert rehearsal.status == "passed", rehearsal.trials
    assert rehearsal.versions["copy"].startswith("PostgreSQL 18.")
