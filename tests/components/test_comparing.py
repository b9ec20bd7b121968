"""Large tables are verified by what was written since they were copied: exact, and only where a row's place proves that it was not written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rollback_provider.components.postgres import copier, trace
from rollback_provider.components.postgres.lines import pick_lines
from rollback_provider.components.postgres.verifying import comparing
from rollback_provider.core.repository import Store
from rollback_provider.core.verification import Check
from rollback_provider.core.verifier import verify
from tests.components.fix.rollback import read_catalog
from tests.components.scenario import Scenario
from tests.fix_postgres import Database
from tests.fix_servers import OLDEST_AND_NEWEST, socket_of

postgres_socket = socket_of(*OLDEST_AND_NEWEST)
SETUP = """
create type mood as enum ('sad', 'happy');
create table accounts (day date, id int, city text, email text, primary key (day, id));
insert into accounts select date '2026-01-01' + n % 7, n, 'city ' || n, 'mail ' || n from generate_series(1, 900) n;
"""
MIGRATION = """
update accounts set city = 'X' where id % 100 = 1;
delete from accounts where id % 100 = 2;
insert into accounts values ('2026-02-01', 1000, 'new');
"""
APPLICATION = """
update accounts set city = 'mine' where id = 5; delete from accounts where id = 7; insert into accounts values ('2026-02-02', 2000, 'mine');
"""


@pytest.fixture
def scenario(monkeypatch: pytest.MonkeyPatch, database: Database, memory_store: Store) -> Scenario:
    """A database whose tables count as large: of several ranges of pages, which two sessions share."""
    monkeypatch.setattr(comparing, "READ_WHOLE", -1)
    monkeypatch.setattr(trace, "RANGE_PAGES", 2)
    for module in (copier, trace):
        monkeypatch.setattr(module, "WORTH_SESSION", 1)
    return Scenario(database, memory_store)


def checks(scenario: Scenario, table: str = "public.accounts") -> tuple[Check, Check]:
    """Of rows and checksum."""
    assert scenario.plan
    record = verify(
        scenario.store, scenario.plan.rollback_id, scenario.database.resolve, scenario.progress, actor="test"
    )
    found = {check.name: check for check in record.execution.verification.checks if check.scope == table}
    rows, checksum = found["rows"], found["checksum"]
    return rows, checksum


def rolled_back(scenario: Scenario) -> Scenario:
    """After a migration, writes of applications and a rollback."""
    scenario.begin(SETUP).application(
        "update accounts set email = 'new' where id = 11; delete from accounts where id = 12"
    )
    scenario.begin("select 1").migrate(MIGRATION).application(APPLICATION)
    scenario.generate()
    scenario.execute()
    return scenario


def test_only_rows_that_were_written_are_compared(scenario: Scenario) -> None:
    """The second snapshot lays a delta over the first one's rows; the rollback's rows and the applications' are read."""
    rows, checksum = checks(rolled_back(scenario))
    assert (rows.status, rows.expected, rows.actual) == ("passed", "899", "899")
    assert checksum.status == "passed"
    assert checksum.detail == (
        "878 rows not written since they were copied; 21 compared: "
        "identical but for 1 changed by applications, 1 deleted by applications, 1 inserted by applications"
    )


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("update accounts set city = 'X' where id = 101", "city is 'X', was 'city 101'"),
        ("delete from accounts where id = 302", "was deleted by the migration and is not back"),
        ("insert into accounts values ('2026-02-01', 1000, 'new')", "was inserted by the migration and is still there"),
    ],
)
def test_a_row_that_is_not_back_is_named(scenario: Scenario, damage: str, problem: str) -> None:
    """Whoever took it away again: it is written, so it is compared."""
    rolled_back(scenario).application(damage)
    for check in checks(scenario):
        assert check.status in {"failed", "warning"}
        assert problem in check.differences[0]


@pytest.mark.parametrize(
    "change",
    [
        "alter table accounts rename city to c; alter table accounts rename email to city; alter table accounts rename c to email",
        "vacuum full accounts",
    ],
    ids=["rename", "vacuum"],
)
def test_what_place_does_not_prove_is_read_whole(scenario: Scenario, change: str) -> None:
    """Columns that have changed places under rows that nobody wrote; another heap."""
    rolled_back(scenario)
    for statement in change.split(";"):
        scenario.application(statement)
    _, checksum = checks(scenario)
    assert "not written" not in checksum.detail
    assert ("898 changed by applications" in checksum.detail) == ("rename" in change)


def test_a_renamed_label_changes_rows_that_nobody_wrote(scenario: Scenario) -> None:
    scenario.begin(SETUP + "create table moods (id int primary key, mood mood); insert into moods values (1, 'sad')")
    scenario.migrate(MIGRATION).generate()
    scenario.execute()
    assert checks(scenario, "public.moods")[1].detail.startswith("1 rows not written since")
    scenario.application("alter type mood rename value 'sad' to 'blue'")
    assert "1 changed by applications" in checks(scenario, "public.moods")[1].detail


def test_transaction_ids_of_another_timeline_mean_nothing(database: Database) -> None:
    """After a failover or a recovery to an earlier moment some may have been used twice."""
    catalog = read_catalog(database)
    assert catalog.timeline == "00000001"
    assert catalog.same_history(catalog)
    after = replace(catalog, timeline="00000002")
    assert catalog.same_database(after)
    assert not catalog.same_history(after)


def test_lines_are_found_where_others_look_like_them() -> None:
    """A key inside of another line, lines of very different length, and a key that is all of its line."""
    keys = [b"%d" % n for n in range(50, 0, -1)]
    lines = [key + b"\t" + b"x\t7\t" * (n % 7) * n + b"7" for n, key in enumerate(keys)]
    content = b"\n".join(lines) + b"\n"
    for step in (1, 2, 7, 49):
        places = range(0, len(keys), step)
        assert pick_lines(content, keys, places, b"\t") == [lines[i] for i in places]
        assert pick_lines(b"\n".join(keys) + b"\n", keys, places, b"\n") == [keys[i] for i in places]
