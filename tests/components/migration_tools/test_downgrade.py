"""A rollback whose first half is the tool's own downgrade, whatever that does; with dbmate, whose migrations are SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import pytest

from rollback_provider.core.component import Component
from rollback_provider.core.errors import ConfigurationError, DriftError, RollbackError, UnsupportedError
from rollback_provider.core.executor import execute
from rollback_provider.core.journal import Journal
from rollback_provider.core.model import Action, ComponentSpec
from rollback_provider.core.record import load_record
from rollback_provider.core.registry import build
from rollback_provider.core.repository import Store
from rollback_provider.core.undo import undo
from tests.components.migration_tools.project import APPLICATION, BACK, DOWN, EXHAUSTIVE, FIRST, UP, Project
from tests.contract.faults import Fuse, FusedProgress, FusedStore, KeptNotes, KilledError
from tests.fix_postgres import Database

DBMATE = {"tool": "dbmate", "url_scheme": "postgres"}


def _script(up: Sequence[str], down: Sequence[str], *, transaction: bool = True) -> str:
    option = "" if transaction else " transaction:false"
    parts = [f"-- migrate:up{option}", *(f"{each};" for each in up), f"-- migrate:down{option}"]
    return "\n".join([*parts, *(f"{each};" for each in down)]) + "\n"


@pytest.fixture
def make(make_database: Callable[[], Database], memory_store: Store, tmp_path: Path) -> Callable[..., Project]:
    """Makes projects whose second migration has this downgrade, migrated, and written to since."""

    def make(
        down: Sequence[str] = DOWN,
        *,
        first: Sequence[str] = FIRST,
        up: Sequence[str] = UP,
        application: Sequence[str] = APPLICATION,
        transaction: bool = True,
    ) -> Project:
        database = make_database()
        directory = tmp_path / database.name
        migrations = directory / "db" / "migrations"
        migrations.mkdir(parents=True)
        url = f"postgres://{database.user}@/{database.name}?host={database.socket}"
        project = Project(database, memory_store, directory, DBMATE, {"DATABASE_URL": url})
        (migrations / "20260101_first.sql").write_text(_script(first, []))
        project.run("dbmate", "--no-dump-schema", "migrate")
        project.snapshot()
        (migrations / "20260202_second.sql").write_text(_script(up, down, transaction=transaction))
        project.run("dbmate", "--no-dump-schema", "migrate")
        return project.checkpoint().application(application)

    return make


@pytest.fixture
def project(make: Callable[..., Project]) -> Project:
    """One with the usual downgrade."""
    return make()


def _applied(project: Project) -> str:
    return project.run("dbmate", "status")


DOWNGRADES = {
    "loses what columns and tables held": DOWN,
    "does nothing": [],
    "fails": ["select 1 / 0"],
    "fails in the middle": [*DOWN[:4], "select 1 / 0", *DOWN[4:]],
    "takes rows with it": ["delete from orders where id > 15", "update orders set total = 1", *DOWN],
    "changes rows and no table": ["update orders set total = total + 1, state = upper(state)"],
    "drops a table that it should keep": ["drop table orders", *DOWN[:2]],
    "makes a table anew": [
        "drop table orders",
        "create table orders (id int primary key, status text, legacy text, total int)",
    ],
    "makes the key another": ["alter table orders alter column id type text", *DOWN],
    "makes rows that were not there": ["insert into orders (id, total) values (500, 1)", *DOWN[:2]],
}


@pytest.mark.parametrize("transaction", [False, True] if EXHAUSTIVE else [False])
@pytest.mark.parametrize("down", DOWNGRADES.values(), ids=DOWNGRADES.keys())
def test_whatever_a_downgrade_does_everything_is_back(
    make: Callable[..., Project], down: Sequence[str], transaction: bool
) -> None:
    """As it is without it; what an application wrote that has no place is listed before; and the next upgrade works."""
    project = make(down, transaction=transaction)
    project.generate()
    record = project.execute()
    assert project.orders() == BACK
    assert project.database.rows("select * from coupons order by 1") == [("AUTUMN", 20), ("SPRING", 10)]
    project.verify()
    assert record.execution.status == "executed"
    assert [(e["scope"], e["key"]) for e in project.entries() if e["action"] == "discarded"] == [
        ("public.vouchers", {"code": "WELCOME"}),
        ("public.orders", {"id": "9"}),
    ]
    assert not project.generate().steps
    assert "[ ] 20260202" in _applied(project)
    project.run("dbmate", "--no-dump-schema", "migrate")
    assert "Pending: 0" in _applied(project)


def test_a_key_that_the_downgrade_drops_is_back(make: Callable[..., Project]) -> None:
    """The table goes back as a whole, applications' rows included."""
    project = make([*DOWN, "alter table orders drop column id"])
    project.generate()
    project.execute()
    assert project.orders() == BACK
    project.verify()


def test_a_downgrade_that_loses_nothing_leaves_nothing_to_do(make: Callable[..., Project]) -> None:
    up = ["alter table orders rename column status to state", "create table vouchers (code text primary key)"]
    down = ["alter table orders rename column state to status", "drop table vouchers"]
    project = make(down, up=up, application=["update orders set state = 'paid' where id = 3"])
    project.generate()
    record = project.execute()
    assert [step.detail for step in record.execution.steps] == [
        "dbmate is at 20260101",
        "the downgrade has lost nothing",
    ]
    assert project.orders()[2] == (3, "paid", "L3", 30)
    project.verify()


def test_a_sequence_that_the_downgrade_makes_anew_goes_on_behind_the_applications_rows(
    make: Callable[..., Project],
) -> None:
    first = ["create table t (id serial primary key, n int)", "insert into t (n) select 1 from generate_series(1, 5)"]
    down = ["drop table t", "create table t (id serial primary key, n int)"]
    write = ["insert into t (n) select 2 from generate_series(1, 10)", "delete from t where id > 12"]
    project = make(down, first=first, up=["alter table t add column note text"], application=write)
    project.generate()
    project.execute()
    project.verify()
    assert project.database.rows("insert into t (n) values (3) returning id") == [(16,)]
    assert project.database.rows("select count(*) from t") == [(13,)]


def test_a_migration_in_a_transaction_of_its_own_is_taken_back_through_the_tool(make: Callable[..., Project]) -> None:
    """What applications wrote right before it, and while it ran, is not the migration's."""
    project = make([], up=[], application=[])
    project.run("dbmate", "--no-dump-schema", "rollback")
    project.snapshot()
    project.database.run("update orders set total = 222 where id = 2; insert into orders values (50, 'new', 'x', 1)")
    rows = ["alter table orders add column currency text", "update orders set total = 0 where id <= 5 or id = 50"]
    with project.observed() as session:
        for statement in (*rows, "insert into schema_migrations values ('20260202')"):
            session.execute(statement)
    project.database.run("update orders set status = 'paid' where id in (2, 9)")
    migration = project.directory / "db" / "migrations" / "20260202_second.sql"
    migration.write_text(_script([], ["update orders set total = -1", "alter table orders drop column currency"]))
    project.generate()
    project.execute()
    assert [row for row in project.orders() if row[0] in {1, 2, 9, 50}] == [
        (1, "open", "L1", 10),
        (2, "paid", "L2", 222),
        (9, "paid", "L9", 90),
        (50, "new", "x", 1),
    ]
    project.verify()


def test_two_migrations_go_down_at_once(make: Callable[..., Project]) -> None:
    """To the older snapshot; what was written between the two stays."""
    project = make(["update orders set total = 5"], up=["update orders set total = 0 where id <= 5"], application=[])
    first = project.snapshot_id
    project.database.run("update orders set status = 'between' where id = 3")
    project.snapshot()
    script = _script(["update orders set total = 1 where id in (2, 19)"], ["delete from orders where id = 3"])
    (project.directory / "db" / "migrations" / "20260303_third.sql").write_text(script)
    project.run("dbmate", "--no-dump-schema", "migrate")
    project.checkpoint().database.run("update orders set status = 'after' where id = 4")
    project.snapshot_id = first
    plan = project.generate()
    assert plan.steps[0].script.count("rollback") == 2
    project.execute()
    status = {3: "between", 4: "after"}
    assert project.orders() == [(n, status.get(n, "open"), f"L{n}", n * 10) for n in range(1, 21)]
    project.verify()


def test_steps_applied_twice_do_nothing_the_second_time(project: Project) -> None:
    """Given the notes of the first time."""
    plan = project.generate()
    project.execute()
    journal = Journal(project.store, plan.rollback_id)
    component = build(project.spec, project.resolve)
    try:
        for step in plan.steps:
            component.apply(step, project.store, KeptNotes(journal, step.id), project.progress)
    finally:
        component.close()
    assert project.orders() == BACK
    project.verify()


def test_the_engine_alone_comes_to_the_same(make: Callable[..., Project]) -> None:
    """It is what is used unless somebody asks for the downgrade; the tool's history comes back with the other rows."""
    project = make()
    plan = project.generate(downgrade=())
    assert not any("dbmate" in step.script for step in plan.steps)
    project.execute()
    assert project.orders() == BACK
    record = project.verify()
    assert "migration tool" in {check.name for check in record.execution.verification.checks}
    project.run("dbmate", "--no-dump-schema", "migrate")


def test_a_worker_killed_anywhere_is_resumed(make: Callable[..., Project]) -> None:
    """Before and after every write to the store, and wherever progress is told: before the tool runs, after it, in the repair."""
    for moment in count(1, 1 if EXHAUSTIVE else 7):
        project = make([*DOWN, "delete from orders where id = 100"])
        plan = project.generate()
        fuse = Fuse(moment)
        store, progress = FusedStore(project.store, fuse), FusedProgress(fuse)
        try:
            execute(store, plan.rollback_id, project.database.resolve, progress, actor="test")
        except KilledError:
            assert fuse.blown
        else:
            break
        project.execute()
        assert project.orders() == BACK, f"killed at moment {moment}"
        project.verify()
    assert moment > 20


def test_a_tool_that_is_killed_half_way_is_run_again(make: Callable[..., Project]) -> None:
    """Its worker is cancelled while it runs."""
    project = make(["select pg_sleep(3)", *DOWN], transaction=False)
    plan = project.generate()
    running: list[Component] = []

    class Cancelling(FusedProgress):
        def message(self, text: str) -> None:
            if "dbmate --no" in text:
                running[0].cancel()

    with pytest.raises(RollbackError, match="db: Cancelled while dbmate ran"):
        execute(
            project.store,
            plan.rollback_id,
            project.database.resolve,
            Cancelling(Fuse()),
            actor="test",
            watch=running.append,
        )
    project.execute()
    assert project.orders() == BACK
    project.verify()


def test_what_was_written_between_plan_and_execution_stays_or_is_listed(project: Project) -> None:
    """Approval takes time. The tool drops the table, so nobody else could list its rows."""
    project.generate()
    project.application(["insert into vouchers values ('LATE')", "update orders set state = 'late' where id = 13"])
    record = project.execute()
    assert ("late",) in project.database.rows("select status from orders where id = 13")
    listed = [entry["key"] for entry in project.entries(record) if entry["action"] == "discarded"]
    assert listed == [{"code": "LATE"}]
    project.verify()


def test_a_conflict_is_listed_once_and_the_application_wins(make: Callable[..., Project]) -> None:
    """The migration had set `total` of these rows, and the downgrade sets it again."""
    project = make(["update orders set total = 5", *DOWN], application=["update orders set total = 99 where id = 2"])
    project.generate()
    assert [(e["key"], e["now"]) for e in project.entries() if e["action"] == "conflict_kept"] == [
        ({"id": "2"}, {"total": "99"})
    ]
    project.application(["update orders set total = 98 where id = 4"])
    record = project.execute()
    assert [row[3] for row in project.orders()[:4]] == [10, 99, 30, 98]
    kept = [e for e in project.entries(record) if e["action"] == "conflict_kept"]
    assert [(e["key"], e["now"]) for e in kept] == [({"id": "4"}, {"total": "98"})]
    project.verify()


def test_what_changes_while_the_tool_runs_and_goes_is_listed(make: Callable[..., Project]) -> None:
    """Nobody can tell its doing from an application's."""
    project = make(["update orders set total = 1 where id = 7", "delete from orders where id = 8", *DOWN])
    project.generate()
    record = project.execute()
    assert record.execution.ledger.total(Action.AMBIGUOUS) == 2
    found = {e["key"]["id"]: (e.get("before", {}).get("total"), e.get("now")) for e in project.entries(record)}
    assert found == {"7": ("70", {"total": "1"}), "8": ("80", None)}


TYPES = [
    "create table t (id int primary key, n int not null, note varchar(5))",
    "insert into t select n, n, 'x' from generate_series(1, 6) n",
]
CONVERTED = ["alter table t alter column n type text using n::text, alter column note type text"]


def test_a_column_of_another_type_is_back(make: Callable[..., Project]) -> None:
    """The downgrade has forgotten its values; of the other column, which only grew, applications' values stay."""
    down = ["alter table t drop column n", "alter table t add column n int not null default 0"]
    project = make(down, first=TYPES, up=CONVERTED, application=["update t set note = 'y' where id = 3"])
    project.generate()
    project.execute()
    assert project.database.rows("select id, n, note from t order by id") == [
        (n, n, "y" if n == 3 else "x") for n in range(1, 7)
    ]
    project.verify()


@pytest.mark.parametrize("write", ["update t set n = '77' where id = 2", "insert into t values (9, '77', 'z')"])
def test_values_of_another_type_that_applications_wrote_are_refused(make: Callable[..., Project], write: str) -> None:
    """The engine would convert them; of the downgrade nobody can tell."""
    project = make(["alter table t drop column n"], first=TYPES, up=CONVERTED, application=[write])
    with pytest.raises(UnsupportedError, match=r"db: Applications have written to public\.t\.n, whose type"):
        project.generate()
    assert project.generate(downgrade=()).steps


def test_a_table_without_a_key_that_applications_have_written_to_is_refused(make: Callable[..., Project]) -> None:
    """When it is planned, and when it is executed; before the tool runs."""
    log = "create table log (line text)"
    with pytest.raises(UnsupportedError, match=r"db: Applications have written to public\.log"):
        make(first=[*FIRST, log], application=["insert into log values ('x')"]).generate()
    project = make(["insert into log values ('down')", *DOWN], first=[*FIRST, log])
    project.generate()
    project.application(["insert into log values ('x')"])
    with pytest.raises(UnsupportedError, match=r"public\.log"):
        project.execute()
    assert "[X] 20260202" in _applied(project)


def test_a_table_without_a_key_that_only_the_downgrade_has_written_to_is_back(make: Callable[..., Project]) -> None:
    """It goes back as a whole."""
    first = [*FIRST, "create table log (line text)", "insert into log values ('a'), ('a'), ('b')"]
    project = make(["delete from log", *DOWN], first=first)
    project.generate()
    project.execute()
    assert project.database.rows("select * from log order by 1") == [("a",), ("a",), ("b",)]
    project.verify()


def test_what_would_not_be_exact_is_refused_when_it_is_planned(project: Project, make: Callable[..., Project]) -> None:
    """By name, and with the way out."""
    for policy, what in (
        ({"only": ("public.orders",)}, "takes back everything"),
        ({"conflicts": "restore"}, "conflicts cannot be restored"),
    ):
        with pytest.raises(UnsupportedError, match=f"dbmate cannot go down here: .*{what}.*without the downgrade"):
            project.generate(**policy)
    with pytest.raises(ConfigurationError, match=r"'shop'.*no such component"):
        project.generate(downgrade=("shop",))
    project.database.run("insert into schema_migrations values ('20270101')")
    with pytest.raises(ConfigurationError, match="dbmate says that 20260101, 20260202 is in effect; its history table"):
        project.generate()


def test_a_downgrade_without_a_checkpoint_is_refused(make: Callable[..., Project]) -> None:
    project = make()
    project.snapshot()
    with pytest.raises(UnsupportedError, match="no checkpoint tells"):
        project.generate()


def test_versions_that_moved_since_the_plan_are_drift(project: Project) -> None:
    """No schema has changed, and the tool would go down further than was approved."""
    plan = project.generate()
    (project.directory / "db" / "migrations" / "20260303_third.sql").write_text(_script([], []))
    project.run("dbmate", "--no-dump-schema", "migrate")
    with pytest.raises(DriftError, match="stood at 20260101, 20260202 when this was planned"):
        project.execute()
    assert load_record(project.store, plan.rollback_id).execution.status == "ready"


def test_it_cannot_be_undone_and_says_so_before(project: Project) -> None:
    plan = project.generate()
    assert any("cannot be undone" in note for note in load_record(project.store, plan.rollback_id).notes)
    project.execute()
    with pytest.raises(UnsupportedError, match="Run the tool's upgrade again"):
        undo(project.store, plan.rollback_id, project.database.resolve, project.progress, actor="test")


def test_where_the_tool_stands_there_already_the_engine_does_the_rest(project: Project) -> None:
    """Somebody has gone down by hand, and then wants what that has lost."""
    project.run("dbmate", "--no-dump-schema", "rollback")
    plan = project.generate()
    assert any("stands at 20260101 already" in note for note in load_record(project.store, plan.rollback_id).notes)
    assert not any("dbmate" in step.script for step in plan.steps)


def _capture(project: Project, spec: ComponentSpec) -> None:
    component = build(spec, project.database.resolve)
    try:
        component.capture(project.store, project.progress)
    finally:
        component.close()


def _spec(project: Project, **options: object) -> ComponentSpec:
    known = project.spec.options["migration_tool"]
    return project.spec.model_copy(update={"options": {"migration_tool": {**known, **options}}})


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"program": "dbmate-of-nobody"}, "'dbmate-of-nobody' is not installed.*Install dbmate"),
        ({"directory": "/nonexistent"}, "No such file or directory"),
        ({"directory": "/"}, "cannot be told: dbmate --no-dump-schema status failed .*Make this work, in /"),
        ({"table": "public.other"}, "public.other in this database says nothing"),
        ({"arguments": ["--nonsense"]}, "Where the migrations stand cannot be told: dbmate --nonsense status failed"),
        ({"tool": "flyway"}, "Unknown migration tool 'flyway'. .*alembic, dbmate, django, liquibase, sqitch"),
        ({"tol": "x"}, "`migration_tool` is wrong: tol"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_a_tool_that_does_not_work_is_found_when_the_snapshot_is_taken(
    project: Project, options: dict[str, object], what: str
) -> None:
    """Not in the incident."""
    with pytest.raises(RollbackError, match=f"(?s)db: .*{what}"):
        _capture(project, _spec(project, **options))


def test_a_history_outside_the_components_schemas_is_refused(project: Project) -> None:
    project.database.run("create schema shop")
    spec = project.spec.model_copy(update={"options": {**project.spec.options, "schemas": ["shop"]}})
    with pytest.raises(ConfigurationError, match=r"in none of the component's `schemas`"):
        _capture(project, spec)
