"""Criteria of go and no-go, on a real database and real stores: each is met and not met, and what cannot be told is neither."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rollback_provider.components.memory import State
from rollback_provider.core.capturer import take_snapshot
from rollback_provider.core.checks import parse_checks
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.executor import execute
from rollback_provider.core.model import Snapshot
from rollback_provider.core.planner import generate
from rollback_provider.core.registry import parse_specs
from rollback_provider.core.rehearsal.certificate import issue
from rollback_provider.core.verification import Check, CheckStatus
from rollback_provider.core.verifier import verify_migration
from rollback_provider.criteria import Evidence, evaluate, parse_criteria
from rollback_provider.rehearsal import run_rehearsal
from rollback_provider.store import SnapshotStore
from tests.core.setting import no_connections
from tests.fix_postgres import Database
from tests.fix_progress import RecordedProgress

GOOD, BAD, UNKNOWN = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.UNKNOWN


def snapshot_of(store: SnapshotStore, database: Database) -> Snapshot:
    """A snapshot of a database."""
    spec = {"kind": "postgres", "name": "shop", "connection": database.name}
    return take_snapshot(store, "shop", parse_specs([spec]), database.resolve, RecordedProgress(), actor="test")


@pytest.fixture
def evidence(database: Database, file_store: SnapshotStore) -> Evidence:
    """A shop of 100 orders, and its snapshot."""
    database.run(
        "create table orders (id int primary key, total int); insert into orders select n, n from generate_series(1, 100) n"
    )
    return Evidence(file_store, snapshot_of(file_store, database), database.resolve)


def found(evidence: Evidence, kind: str, **options: Any) -> list[Check]:
    """What a criterion finds."""
    return list(evaluate(parse_criteria([{"kind": kind, **options}]), evidence))


def test_a_snapshot_is_fresh_and_whole(evidence: Evidence) -> None:
    assert [check.status for check in found(evidence, "snapshot")] == [GOOD, GOOD]
    fresh, _ = found(evidence, "snapshot", max_age="PT0S")
    assert (fresh.status, fresh.expected) == (BAD, "at most 0:00:00 old")
    (blob, *_) = evidence.store.blobs()
    evidence.store.delete_blob(blob.digest, unless_after=blob.modified + timedelta(seconds=1))
    _, whole = found(evidence, "snapshot")
    assert whole.status is BAD


def test_free_space_of_the_store(evidence: Evidence, memory_store: SnapshotStore, database: Database) -> None:
    assert [check.status for check in found(evidence, "space")] == [GOOD]
    (check,) = found(evidence, "space", at_least=10**18)
    assert (check.status, check.expected) == (BAD, "at least 1,000,000,000,000,000,000 bytes")
    endless = Evidence(memory_store, snapshot_of(memory_store, database), database.resolve)
    assert [check.status for check in found(endless, "space")] == [CheckStatus.WARNING]


def test_a_certificate_of_this_migration_and_schema(evidence: Evidence, tmp_path: Path) -> None:
    """Of this text, wherever the file lies; what is wrong with the newest is named."""
    text = tmp_path / "migration.sql"
    text.write_text("alter table orders add column tax int")
    same = tmp_path / "same.sql"
    same.write_text(text.read_text())
    (none,) = found(evidence, "certificate")
    assert (none.status, none.actual) == (BAD, f"There is no certificate of migration 'shop' in {evidence.store.url}")
    source = {"sql": [str(text)], "alter": ["orders"]}
    scratch = replace(evidence.connections(evidence.snapshot.components[0].spec.connection or ""), schema="certified")
    progress = RecordedProgress()
    rehearsal = run_rehearsal(
        evidence.store, evidence.snapshot.id, source, progress, actor="test", scratch=scratch, size="schema"
    )
    issue(evidence.store, rehearsal, timedelta(days=1), actor="test")
    (check,) = found(evidence, "certificate", source=source | {"sql": [str(same)]})
    assert (check.status, "valid until" in check.actual) == (GOOD, True)
    (check,) = found(evidence, "certificate", drills=["lock_held"])
    assert (check.status, "does not say that these drills passed: lock_held" in check.actual) == (BAD, True)
    same.write_text("alter table orders add column tax bigint")
    (check,) = found(evidence, "certificate", source=source | {"sql": [str(same)]})
    assert (check.status, "is of another text" in check.actual) == (BAD, True)
    with pytest.raises(ConfigurationError, match="Criterion certificate is malformed: source"):
        parse_criteria([{"kind": "certificate", "source": {"statements": "drop table"}}])


@pytest.mark.parametrize(("query", "status"), [("select 3", GOOD), ("select 9", BAD), ("select null", UNKNOWN)])
def test_conditions_are_measured(evidence: Evidence, database: Database, query: str, status: CheckStatus) -> None:
    probe = {"kind": "sql", "connection": database.name, "query": query}
    (check,) = found(evidence, "conditions", conditions=[{"name": "late orders", "probe": probe, "above": 5}])
    assert (check.name, check.scope, check.status, check.expected) == ("late orders", query, status, "at most 5")


def quiet(evidence: Evidence, longest: float = 60) -> list[Check]:
    """Whether it is quiet."""
    return found(evidence, "quiet", longest=longest)


@contextmanager
def transaction(database: Database, statement: str) -> Iterator[psycopg.Connection]:
    """Somebody else's."""
    with psycopg.connect(database.dsn, application_name="report") as session:
        session.execute(statement.encode())
        yield session
        session.rollback()


@pytest.mark.parametrize(
    ("statement", "longest", "says"),
    [
        ("select 1", 0, None),
        ("select count(*) from orders", 60, None),
        ("select count(*) from orders", 0, "has used public.orders"),
        ("lock table orders in share mode", 60, "holds a strong lock on public.orders"),
        ("alter table orders add column x int", 60, "holds a strong lock on public.orders"),
    ],
)
def test_sessions_in_the_way(
    evidence: Evidence, database: Database, statement: str, longest: float, says: str | None
) -> None:
    with transaction(database, statement):
        (check,) = quiet(evidence, longest)
    assert check.status is (BAD if says else GOOD)
    assert [f"application report) {says}" in each for each in check.differences] == ([True] if says else [])
    assert [each.status for each in quiet(evidence, longest)] == [GOOD]


def test_a_session_that_waits_for_a_lock(evidence: Evidence, database: Database) -> None:
    with ThreadPoolExecutor() as pool, transaction(database, "select count(*) from orders") as holder:
        waiting = pool.submit(database.run, "alter table orders add column x int")
        while not database.rows("select 1 from pg_locks where not granted"):
            pass
        (check,) = quiet(evidence)
        holder.rollback()
        waiting.result()
    assert [("waits for a lock on public.orders" in each) for each in check.differences] == [True]


def test_what_others_do_is_unknown_where_it_is_hidden(evidence: Evidence, database: Database) -> None:
    database.run("do $$ begin create role blind login; exception when duplicate_object then null; end $$")
    database.run("grant select on all tables in schema public to blind")
    blind = Database(database.socket, database.name, "blind")
    hidden = Evidence(evidence.store, evidence.snapshot, blind.resolve)
    with transaction(database, "select count(*) from orders"):
        (check,) = quiet(hidden, 0)
    assert check.status is UNKNOWN
    assert "GRANT pg_read_all_stats" in check.detail


def test_a_snapshot_whose_components_cannot_tell_is_not_quiet(
    memory_store: SnapshotStore, make_system: Callable[[State], str]
) -> None:
    specs = parse_specs([{"kind": "memory", "name": "shop", "system": make_system({})}])
    snapshot = take_snapshot(memory_store, "shop", specs, no_connections, RecordedProgress(), actor="test")
    (check,) = quiet(Evidence(memory_store, snapshot, no_connections))
    assert check.status is UNKNOWN


@pytest.fixture
def checked(database: Database, memory_store: SnapshotStore) -> Evidence:
    """A shop without orders, with checks of it."""
    database.run("create table orders (id int primary key, total int)")
    declared: dict[str, dict[str, Any]] = {
        "paid": {"sql": "select id from orders where total = 0"},
        "migrated": {"sql": "select count(*) from orders", "min": 1, "when": "migration"},
        "as before": {"sql": "select count(*) from orders", "equals": 0, "when": "rollback"},
    }
    spec = {"kind": "postgres", "name": "shop", "connection": database.name}
    specs = [{"kind": "sql", "name": name, "connection": database.name} | each for name, each in declared.items()]
    snapshot = take_snapshot(
        memory_store,
        "shop base",
        parse_specs([spec]),
        database.resolve,
        RecordedProgress(),
        actor="test",
        checks=parse_checks(specs),
    )
    return Evidence(memory_store, snapshot, database.resolve)


def test_checks_of_the_rollback_hold_before_the_migration(checked: Evidence, database: Database) -> None:
    assert [(check.name, check.status) for check in found(checked, "checks")] == [("paid", GOOD), ("as before", GOOD)]
    database.run("insert into orders values (1, 0)")
    assert [check.status for check in found(checked, "checks")] == [BAD, BAD]
    database.run("drop table orders")
    assert [check.status for check in found(checked, "checks")] == [UNKNOWN, UNKNOWN]


def test_without_a_declared_check_nothing_is_green(evidence: Evidence) -> None:
    (check,) = found(evidence, "checks")
    assert (check.status, check.name) == (UNKNOWN, "checks")
    assert "Declare checks where the snapshot is taken" in check.detail


def test_a_migration_is_verified_by_its_own_checks(checked: Evidence, database: Database) -> None:
    """Others can build upon it by its name, until it is rolled back."""
    other = replace(checked, snapshot=snapshot_of(checked.store, database))

    def verified() -> Check:
        (mine,) = found(checked, "verified")
        (named,) = found(other, "verified", migration="shop base")
        assert (mine.status, mine.actual, mine.scope) == (named.status, named.actual, named.scope)
        return mine

    assert (verified().status, verified().actual) == (UNKNOWN, "its checks were never run")
    verify_migration(checked.store, checked.snapshot.id, database.resolve, actor="test")
    check = verified()
    assert (check.status, check.actual) == (BAD, "2 checks: 1 failed, 1 passed")
    assert "migrated" in check.differences[0]
    database.run("insert into orders values (1, 1)")
    verify_migration(checked.store, checked.snapshot.id, database.resolve, actor="test")
    assert (verified().status, verified().actual) == (GOOD, "2 checks: 2 passed")
    how = (checked.store, checked.snapshot.id, database.resolve, RecordedProgress())
    rollback_id = generate(*how, actor="test").rollback_id
    assert verified().status is GOOD
    execute(checked.store, rollback_id, database.resolve, RecordedProgress(), actor="test")
    assert (verified().status, verified().actual) == (BAD, f"rolled back by {rollback_id}")


def test_a_migration_that_nobody_knows_is_not_verified(evidence: Evidence) -> None:
    (check,) = found(evidence, "verified", migration="nothing")
    assert check.status is UNKNOWN
    assert "no snapshot of migration 'nothing'" in check.detail


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "No criteria"),
        (["snapshot"], "no criterion None.*checks, conditions, person, quiet"),
        ([{"kind": "weather"}], "no criterion 'weather'"),
        ([{"kind": "snapshot", "max_age": "soon"}], "Criterion snapshot is malformed: max_age"),
        ([{"kind": "snapshot", "age": 5}], "age: Extra inputs"),
        ([{"kind": "conditions"}], "conditions: Field required"),
        ([{"kind": "conditions", "conditions": [{"name": "x"}]}], "conditions.0.probe: Field required"),
        ([{"kind": "space", "at_least": -1}], "at_least"),
        ([{"kind": "checks", "names": []}], "names: Extra inputs"),
    ],
)
def test_malformed_criteria_are_refused(entries: list[Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_criteria(entries)
