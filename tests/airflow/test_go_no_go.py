"""Go and no-go in front of a guarded migration, run by Airflow itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar

import pytest

from rollback_provider.components.memory import State, read_system
from rollback_provider.core.decision import Decision
from rollback_provider.core.repository import Repository
from rollback_provider.core.verification import CheckStatus
from rollback_provider.store import SnapshotStore
from tests.airflow.scenario import BEFORE
from tests.fix_airflow import Run


class Site(BaseHTTPRequestHandler):
    """A shop, whose health is what `answers` says, one after the other, and then as the last."""

    answers: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        """Answers."""
        self.send_response(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Site]]:
    """Connection ``shop_site``."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        connection = {"conn_type": "http", "host": "127.0.0.1", "port": server.server_port}
        monkeypatch.setenv("AIRFLOW_CONN_SHOP_SITE", json.dumps(connection))
        yield Site
        server.shutdown()


@pytest.fixture
def system(make_system: Callable[[State], str]) -> str:
    """A shop before its migration."""
    return make_system(BEFORE)


@pytest.fixture
def migrate(run_dag: Callable[..., Run], memory_store: SnapshotStore, system: str) -> Callable[[str], Run]:
    """Runs the migration, and answers where it asks."""

    def migrate(answer: str) -> Run:
        return run_dag("decided", {"system": system, "store": memory_store.url}, answer)

    return migrate


def decision(store: SnapshotStore, run: Run) -> Decision:
    """The one that was kept."""
    (found,) = Repository(store).decisions(run.xcom("snapshot"))
    return found


def test_a_person_has_the_last_word(
    migrate: Callable[[str], Run], site: type[Site], memory_store: SnapshotStore, system: str
) -> None:
    site.answers = [200]
    run = migrate("Approve")
    assert (run.state, run.xcom("outcome", "outcome")) == ("success", "MIGRATED")
    found = decision(memory_store, run)
    assert (found.go, found.by, found.id) == (True, "ada", run.xcom("go_no_go"))
    assert found.actor.endswith("/go_no_go (started by dag_test)")
    assert [(check.name, check.actual) for check in found.checks][1:] == [
        ("snapshot is whole", "1 pieces of content"),
        ("health", "200"),
    ]

    run = migrate("Reject")
    assert (run.state, run.xcom("outcome", "outcome")) == ("failed", "NOT_STARTED")
    assert (run.states["go_no_go"], run.states["migrate"]) == ("failed", "upstream_failed")
    assert (decision(memory_store, run).go, decision(memory_store, run).by) == (False, "ada")


def test_nobody_is_asked_where_a_criterion_is_not_met(
    migrate: Callable[[str], Run], site: type[Site], memory_store: SnapshotStore, system: str
) -> None:
    site.answers = [503]
    run = migrate("")
    assert (run.state, run.xcom("outcome", "outcome")) == ("failed", "NOT_STARTED")
    assert read_system(system) == BEFORE
    found = decision(memory_store, run)
    assert (found.go, found.by) == (False, "the criteria")
    assert [check.status for check in found.checks] == [CheckStatus.PASSED, CheckStatus.PASSED, CheckStatus.FAILED]


def test_what_changes_while_a_person_thinks_counts(
    migrate: Callable[[str], Run], site: type[Site], memory_store: SnapshotStore, system: str
) -> None:
    site.answers = [200, 503]
    run = migrate("Approve")
    assert (run.state, run.xcom("outcome", "outcome")) == ("failed", "NOT_STARTED")
    assert read_system(system) == BEFORE
    assert (decision(memory_store, run).go, decision(memory_store, run).by) == (False, "the criteria")
