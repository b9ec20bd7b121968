"""A migration that commits as it goes, while applications write: triggers tell what is whose."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import psycopg
import pytest

from rollback_provider.components.postgres.reserved import marking
from rollback_provider.core.errors import ConfigurationError, MigrationRunningError, PermissionDeniedError
from rollback_provider.core.model import Action
from rollback_provider.core.repository import Repository, Store
from tests.components.scenario import Scenario
from tests.fix_postgres import Database
from tests.fix_servers import ALL, OLDEST_AND_NEWEST, VERSIONS, socket_of

postgres_socket = socket_of()
both = pytest.mark.parametrize("postgres_socket", OLDEST_AND_NEWEST, indirect=True)
newest = pytest.mark.parametrize("postgres_socket", VERSIONS if ALL else VERSIONS[-1:], indirect=True)

SETUP = """
create table accounts (id int primary key, city text, visits int not null default 0, note text, at timestamptz default now());
insert into accounts select n, 'city ' || n from generate_series(1, 200) n;
create table other (id int primary key, v text); insert into other select n, 'v' from generate_series(1, 5) n;
create table parts (id int, day int, v text, primary key (id, day)) partition by range (day);
create table parts_1 partition of parts for values from (0) to (10);
create table parts_2 partition of parts for values from (10) to (20);
insert into parts select n, n % 20, 'v' from generate_series(1, 40) n;
create table log (line text);
"""


@pytest.fixture
def scenario(database: Database, memory_store: Store) -> Scenario:
    """A database with a snapshot."""
    return Scenario(database, memory_store).begin(SETUP)


def leftovers(scenario: Scenario) -> list[tuple[str]]:
    """What of ours is in the database."""
    return scenario.rows(
        "select nspname::text from pg_namespace where nspname = 'rollback_tracking'"
        " union all select tgname from pg_trigger where tgname ~ 'rollback'"
    )


class Writers:
    """Applications that write as fast as they can, each to rows of its own; each write bears a token of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stop = threading.Event()
        self.last: dict[tuple[int, str], str] = {}
        """By key and column, the last token that was acknowledged."""
        self.errors: list[str] = []

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Writes for the length of the block."""
        threads = [threading.Thread(target=self._run, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _run(self, me: int) -> None:
        random, count = Random(me), 0
        with self._database.connect() as connection:
            while not self._stop.is_set():
                count += 1
                token, key, column = (
                    f"token-{me}-{count}",
                    2 * random.randrange(1, 100) + me,
                    random.choice(["city", "note"]),
                )
                try:
                    if count % 5:
                        statement = f"update accounts set {column} = %s where id = %s"
                    else:
                        key = 1000 * (me + 1) + count
                        statement = f"insert into accounts ({column}, id) values (%s, %s)"
                    if connection.execute(statement, [token, key]).rowcount:
                        self.last[key, column] = token
                except psycopg.Error as error:
                    self.errors.append(str(error))


@both
@pytest.mark.parametrize("ending", ["completes", "is killed"])
def test_every_write_is_there_or_listed_and_the_migrations_are_gone(scenario: Scenario, ending: str) -> None:
    """Writers at full speed while the migration commits statement by statement, changes columns, and ends one way or the other."""
    writers = Writers(scenario.database)
    with writers.writing():
        scenario.track()
        tool = subprocess.Popen(
            [sys.executable, "-c", TOOL, scenario.database.dsn],
            env=os.environ | {"PGOPTIONS": marking(scenario.snapshot_id)},
        )
        if ending == "is killed":
            wait_until(lambda: bool(scenario.rows("select from pg_attribute where attname = 'extra'")))
            tool.kill()
        tool.wait()
        scenario.track_to_the_end()
    assert not leftovers(scenario)
    scenario.back()
    rows = scenario.rows("select id, city, note, visits from accounts")
    values = [value or "" for row in rows for value in row[1:3]]
    assert not [value for value in values if value.startswith(("migrated", "again", "made"))]
    assert not [row for row in rows if row[3]]
    assert {190, 191, 192, 193, 194} <= {row[0] for row in rows}
    listed = {value for entry in scenario.entries() for value in (entry["now"] or {}).values()}
    assert len(writers.last) > 50
    assert not [token for token in writers.last.values() if token not in values and token not in listed]
    assert not [error for error in writers.errors if "rollback_tracking" in error]


TOOL = """
import psycopg, sys
with psycopg.connect(sys.argv[1], autocommit=True) as tool:
    for at in range(1, 200, 10):
        tool.execute("update accounts set city = 'migrated ' || id, visits = 7 where id between %s and %s", [at, at + 9])
    tool.execute("alter table accounts rename column note to remark")
    tool.execute("alter table accounts rename column remark to note")
    tool.execute("delete from accounts where id between 190 and 194; insert into accounts (id, city) values (500, 'made')")
    tool.execute("alter table accounts add column extra int not null default 5")
    for turn in range(15):
        tool.execute("update accounts set city = 'again ' || id || repeat('!', %s) where id %% 3 = 0", [turn])
"""


def wait_until(done: Callable[[], bool]) -> None:
    """Waits."""
    while not done():
        time.sleep(0.01)


@both
def test_only_sessions_with_the_mark_are_the_migration(scenario: Scenario) -> None:
    """Each kind of write, in each kind of table; what applications write in between, to the same rows, stays."""
    scenario.application("update accounts set note = 'before' where id = 1")
    scenario.track()
    with scenario.marked() as tool:
        tool.execute("update accounts set city = 'migrated' where id <= 5; update accounts set id = 300 where id = 6")
        scenario.application(
            "update accounts set city = 'mine' where id = 2; update accounts set note = 'mine' where id = 3"
        )
        scenario.application("delete from accounts where id = 5; insert into accounts (id, city) values (301, 'mine')")
        tool.execute(
            "begin; update accounts set visits = 9 where id <= 3; savepoint s; delete from accounts where id = 10; rollback to s; commit"
        )
        tool.execute("begin; update accounts set city = 'undone'; rollback")
        tool.execute("insert into accounts (id, city) values (302, 'migrated'); delete from accounts where id = 7")
        tool.execute(
            "update parts set v = 'migrated' where id <= 3; update parts set day = day + 10 where day = 4; delete from parts where id = 8"
        )
        tool.execute("set session_replication_role = replica; set TimeZone = 'Asia/Tokyo'; set DateStyle = 'German'")
        tool.execute("update accounts set at = '2001-02-03 04:05:06+00', city = E'a,\"b\\\\ \n' where id = 8")
        with tool.cursor().copy("copy other from stdin") as copy:
            copy.write("8\tcopied\n")
        tool.execute("create table made (id int primary key); insert into made values (1)")
    scenario.application("update accounts set note = 'after' where id = 4; insert into parts values (70, 3, 'mine')")
    checkpoint = scenario.track_to_the_end()
    assert (checkpoint.attribution, leftovers(scenario)) == ("triggers", [])
    scenario.back()
    found = {
        row[0]: row[1:]
        for row in scenario.rows("select id, city, visits, note from accounts where id < 11 or id > 200")
    }
    expected: dict[int, tuple[str, int, str | None]] = {n: (f"city {n}", 0, None) for n in (1, 4, 6, 7, 8, 9, 10)}
    expected |= {
        1: ("city 1", 0, "before"),
        2: ("mine", 0, None),
        3: ("city 3", 0, "mine"),
        4: ("city 4", 0, "after"),
        301: ("mine", 0, None),
    }
    assert found == expected
    assert scenario.rows("select count(*) from accounts where at < '2002-01-01'") == [(0,)]
    assert scenario.rows("select count(*), max(v) from other") == [(5, "v")]
    assert scenario.rows("select id, day, v from parts where v <> 'v' or id in (4, 24, 8) order by 1") == [
        (4, 4, "v"),
        (8, 8, "v"),
        (24, 4, "v"),
        (70, 3, "mine"),
    ]
    assert {(e["action"], e["scope"], e["key"].get("id")) for e in scenario.entries()} == {
        ("conflict_kept", "public.accounts", "2"),
        ("conflict_kept", "public.accounts", "5"),
        ("merged", "public.accounts", "4"),
    }


@newest
def test_what_an_application_wrote_over_and_the_migration_again(scenario: Scenario) -> None:
    """Its value comes back, not the one from before the migration, and is listed; in a row of the migration's own it is listed as lost."""
    scenario.track()
    with scenario.marked() as tool:
        tool.execute(
            "update accounts set city = 'one' where id = 1; insert into accounts (id, city) values (400, 'one')"
        )
        scenario.application("update accounts set city = 'mine' where id in (1, 400)")
        tool.execute("update accounts set city = 'two' where id in (1, 400)")
    scenario.track_to_the_end()
    with pytest.raises(Exception, match="2 rows were changed by the migration and by applications"):
        scenario.generate(conflicts="fail")
    scenario.back()
    assert scenario.rows("select id, city from accounts where id in (1, 400)") == [(1, "mine")]
    entries = {(e["action"], e["key"]["id"]): (e["migrated"], e["now"]) for e in scenario.entries()}
    images = ({"city": "one"}, {"city": "mine"})
    assert entries == {("conflict_kept", "1"): images, ("conflict_restored", "400"): images}


@both
def test_truncated_dropped_and_without_a_column(scenario: Scenario) -> None:
    """TRUNCATE is logged row by row; of a table named as whole, applications' writes are known until the drop."""
    scenario.track("other", "public.accounts")
    scenario.application(
        "update other set v = 'mine' where id = 1; insert into other values (6, 'mine'); delete from other where id = 2"
    )
    scenario.application(
        "update accounts set note = 'mine', visits = 3 where id = 1; insert into accounts (id, visits) values (300, 4)"
    )
    scenario.application("update parts set v = 'mine' where id = 2")
    with scenario.marked() as tool:
        tool.execute("truncate parts; drop table other; alter table accounts drop column visits")
    scenario.application("insert into parts values (2, 2, 'new')")
    scenario.track_to_the_end()
    scenario.back()
    assert scenario.rows("select id, v from other order by id") == [
        (1, "mine"),
        (3, "v"),
        (4, "v"),
        (5, "v"),
        (6, "mine"),
    ]
    assert scenario.rows("select id, visits, note from accounts where visits <> 0 order by id") == [
        (1, 3, "mine"),
        (300, 4, None),
    ]
    assert scenario.rows("select count(*), count(*) filter (where v = 'new') from parts") == [(40, 1)]
    assert scenario.plan
    assert not [note for note in scenario.plan.components[0].notes if "went with it" in note]
    assert scenario.actions() == {Action.CONFLICT_KEPT: 1}


@newest
@pytest.mark.parametrize(
    ("statement", "why"),
    [
        (
            "alter table other disable trigger all; update other set v = 'X'; alter table other enable trigger all",
            "disabled",
        ),
        ("drop trigger rollback_tracking_row on other; update other set v = 'X'", "dropped"),
        ("alter table other alter v type int using 5", "rewritten all values of v"),
        ("insert into log values ('X')", "key"),
    ],
)
def test_a_table_of_which_the_log_does_not_tell_is_ambiguous(scenario: Scenario, statement: str, why: str) -> None:
    """By name, and only that one: the rest stays exact."""
    scenario.track()
    with scenario.marked() as tool:
        tool.execute(statement + "; update accounts set city = 'X'")
    scenario.application("update accounts set city = 'mine' where id = 1")
    scenario.track_to_the_end()
    table = "public.log" if "log" in statement else "public.other"
    with pytest.raises(Exception, match=f"{table} was changed since the snapshot, and no checkpoint tells by whom"):
        scenario.generate(ambiguous="fail")
    scenario.back()
    assert scenario.plan
    assert [note for note in scenario.plan.components[0].notes if note.startswith(table) and why in note]
    assert {entry["scope"] for entry in scenario.entries() if entry["action"] == "ambiguous"} == {table}
    assert scenario.rows("select count(*) from accounts where city = 'X'") == [(0,)]
    assert scenario.rows("select distinct v from other") == [("v",)]


@newest
def test_nothing_is_planned_and_nobody_else_tracks_before_the_log_is_read(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way on is named; a second call, after a kill between seal and clearing up, finds what is left."""
    monkeypatch.setattr("rollback_provider.components.postgres.tracking.triggers._SESSION_SECONDS", 0)
    first = scenario.track().snapshot_id
    with pytest.raises(MigrationRunningError, match=f"checkpoint {first}"):
        scenario.generate()
    with pytest.raises(ConfigurationError, match="has begun already"):
        scenario.track()
    with pytest.raises(MigrationRunningError, match=first):
        scenario.begin("select 1").track()
    scenario.snapshot_id = first
    with scenario.marked() as tool:
        tool.execute("update other set v = v")
        with pytest.raises(MigrationRunningError, match="still connected: pid"):
            scenario.track_to_the_end()
    sealed = scenario.track_to_the_end()
    assert sealed == scenario.track_to_the_end() == Repository(scenario.store).checkpoints(first)[-1]
    assert not scenario.generate().steps


@newest
def test_a_migration_that_runs_without_the_mark_is_suspected(scenario: Scenario) -> None:
    """Its writes pass for applications', so the plan says that nobody bore the mark."""
    scenario.track()
    scenario.application("update other set v = 'X'")
    scenario.track_to_the_end()
    assert not scenario.generate().steps
    assert scenario.plan
    assert any("ran without the mark" in note for note in scenario.plan.components[0].notes)


@newest
def test_what_was_left_half_installed_is_replaced(scenario: Scenario) -> None:
    """Killed before the first checkpoint was sealed: the next call begins anew."""
    scenario.track()
    for checkpoint in Repository(scenario.store).checkpoints(scenario.snapshot_id):
        scenario.store.delete(f"checkpoints/{scenario.snapshot_id}/{checkpoint.id}")
    scenario.database.run("drop trigger rollback_tracking_row on other")
    scenario.begin("select 1").track()
    with scenario.marked() as tool:
        tool.execute("update other set v = 'X'")
    scenario.track_to_the_end()
    scenario.back(ambiguous="fail")
    assert not leftovers(scenario)


@newest
def test_a_role_that_owns_nothing_is_refused_before_the_migration(scenario: Scenario) -> None:
    """With the grants that are missing, and nothing left behind."""
    scenario.database.run(
        "drop role if exists tracking_reader; create role tracking_reader login; grant pg_read_all_data to tracking_reader"
    )
    database = Database(scenario.database.socket, scenario.database.name, "tracking_reader")
    reader = Scenario(database, scenario.store).begin("select 1")
    try:
        with pytest.raises(PermissionDeniedError, match=r"GRANT postgres TO tracking_reader; GRANT CREATE ON DATABASE"):
            reader.track()
    finally:
        scenario.database.run("drop owned by tracking_reader; drop role tracking_reader")
    assert not leftovers(scenario)
    with pytest.raises(ConfigurationError, match="no table nope"):
        scenario.track("nope")
    assert not leftovers(scenario)
