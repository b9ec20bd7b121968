"""Snapshots that build upon an earlier one: as complete as any other, and read alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from rollback_provider.components.postgres.images import TableRows, load_deltas, load_rows
from rollback_provider.core.base import Json
from rollback_provider.core.repository import Repository
from rollback_provider.store import SnapshotStore, prune
from tests.components.fix.schema_text import schema_text
from tests.components.scenario import Scenario
from tests.fix_postgres import Database
from tests.fix_progress import RecordedProgress

SETUP = """
create type mood as enum ('sad', 'happy');
create table accounts (id int primary key, city text, visits int not null default 0, mood mood);
insert into accounts select n, 'city ' || n, 0, 'sad' from generate_series(1, 200) n;
create table log (line text); insert into log values ('one'), ('two');
create table watched (id int primary key, what regclass); insert into watched values (1, 'accounts');
"""
WRITES = """
update accounts set city = 'moved' where id in (3, 5); delete from accounts where id = 7; insert into accounts values (300, 'new');
"""
MIGRATION = "update accounts set visits = visits + 1 where id <= 50; delete from accounts where id in (3, 60, 300); alter table accounts drop column city"


class PruningProgress(RecordedProgress):
    """Does something in the middle of a capture."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self._act = act

    def update(self, what: str, *, done: float, total: float | None = None, unit: str = "rows") -> None:
        """Acts."""
        super().update(what, done=done, total=total, unit=unit)
        self._act()


@pytest.fixture
def scenario(database: Database, memory_store: SnapshotStore) -> Scenario:
    """A database with a snapshot, to which applications have written since."""
    return Scenario(database, memory_store).begin(SETUP).application(WRITES)


def payload(scenario: Scenario) -> Json:
    return Repository(scenario.store).snapshot(scenario.snapshot_id).components[0].payload


def tables(scenario: Scenario) -> dict[str, TableRows]:
    rows = load_rows(payload(scenario)["rows"], scenario.store)
    return {found.table.name: found for found in rows.values()}


def copied_again(scenario: Scenario, table: str) -> bool:
    """Whether a second snapshot copies a table as a whole."""
    first = tables(scenario)[table].blocks
    scenario.begin("")
    return tables(scenario)[table].blocks != first


def contents(database: Database) -> list[tuple[object, ...]]:
    return database.rows(
        "select 'a', to_jsonb(t)::text from accounts t union all select 'l', line from log union all select 'w', what::text from watched order by 1, 2"
    )


def test_little_has_changed_and_little_is_copied(scenario: Scenario) -> None:
    assert not copied_again(scenario, "accounts")
    (delta,) = load_deltas(payload(scenario)["deltas"], scenario.store).values()
    assert (delta.changed_rows, sum(block.rows for block in delta.deleted)) == (3, 1)


@pytest.mark.parametrize("exact", [False, True], ids=["quiet", "exact"])
@pytest.mark.parametrize("ages", [1, 3])
def test_the_way_back_leads_to_the_later_snapshot(scenario: Scenario, ages: int, *, exact: bool) -> None:
    for age in range(ages):
        scenario.begin(
            f"update accounts set visits = 100 + {age} where id = 9; delete from accounts where id = 100 + {age}"
        )
    schema, before = schema_text(scenario.database), contents(scenario.database)
    if exact:
        scenario.application(
            "update accounts set city = 'late' where id = 5; insert into accounts values (301, 'late')"
        )
        before = contents(scenario.database)
        with scenario.observed(alter=["accounts"]) as connection:
            connection.execute(MIGRATION)
    else:
        scenario.migrate(MIGRATION)
    scenario.back()
    assert (schema_text(scenario.database), contents(scenario.database)) == (schema, before)


def test_nothing_tells_the_migration_from_applications(scenario: Scenario) -> None:
    """What was written before the later snapshot is part of it, and not listed as ambiguous."""
    scenario.begin("").application("update accounts set visits = 1 where id = 20")
    scenario.generate(ambiguous="restore")
    assert [entry["key"] for entry in scenario.entries()] == [{"id": "20"}]


@pytest.mark.parametrize(
    ("change", "table"),
    [
        ("vacuum full accounts", "accounts"),
        ("update accounts set visits = visits + 1", "accounts"),
        ("alter table accounts add column extra int default 5", "accounts"),
        ("alter table accounts drop column visits", "accounts"),
        ("alter type mood rename value 'sad' to 'blue'", "accounts"),
        ("insert into log values ('three')", "log"),
        ("alter table accounts rename to customers", "watched"),
    ],
)
def test_what_cannot_be_used_again_is_copied_again(scenario: Scenario, change: str, table: str) -> None:
    for statement in change.split("; "):
        scenario.application(statement)
    assert copied_again(scenario, table)


@pytest.mark.parametrize(
    "change", ["alter table accounts rename to customers", "alter table accounts rename city to town"]
)
def test_names_do_not_matter(scenario: Scenario, change: str) -> None:
    first = tables(scenario)["accounts"].blocks
    scenario.application(change).begin("")
    assert [found.blocks for found in tables(scenario).values() if found.table.name in {"accounts", "customers"}] == [
        first
    ]


def test_it_stays_complete_when_the_earlier_one_is_removed(scenario: Scenario, memory_store: SnapshotStore) -> None:
    earlier = scenario.snapshot_id
    scenario.begin("")
    before = contents(scenario.database)
    assert prune(memory_store, keep_last=1, grace=timedelta()).snapshots == (earlier,)
    scenario.migrate(MIGRATION).back()
    assert contents(scenario.database) == before


def test_it_starts_again_when_the_earlier_one_is_removed_meanwhile(scenario: Scenario) -> None:
    """A prune at the same time does not know yet that its blobs are used again."""
    earlier = scenario.snapshot_id
    first = tables(scenario)["accounts"].blocks
    scenario.progress = PruningProgress(lambda: scenario.store.delete(f"snapshots/{earlier}"))
    scenario.begin("")
    assert Repository(scenario.store).snapshot_ids() == [scenario.snapshot_id]
    assert tables(scenario)["accounts"].blocks != first
