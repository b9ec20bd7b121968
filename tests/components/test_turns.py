"""Rows that are deleted and inserted in two turns: the second takes only what the first could not write, whatever happens in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from rollback_provider.components.postgres import steps
from rollback_provider.core.document import Record
from rollback_provider.core.errors import ComponentUnavailableError
from rollback_provider.core.repository import Store
from rollback_provider.core.verification import CheckStatus
from rollback_provider.core.verifier import verify
from tests.components.histories import StepProgress
from tests.components.scenario import Scenario
from tests.fix_postgres import Database

PARENTS = """
create table p (id int primary key, v text unique); create table c (id int primary key, p int references p);
insert into p select n, 'v' || n from generate_series(1, 6) n; insert into c select n, n from generate_series(1, 3) n;
"""


class Turns(Scenario):
    """A scenario in which something happens between the two turns."""

    def between(self, happens: Callable[[], object]) -> Record:
        """Executes; calls `happens` before the first step of the second turn."""
        assert isinstance(self.progress, StepProgress)
        progress, left = self.progress, [happens]

        def before_step(text: str) -> None:
            if "Once more" in text and left:
                left.pop()()

        progress.before_step = before_step
        record = self.execute()
        assert not left, "there is no second turn"
        return record

    def verified(self) -> set[str]:
        """What verification warns of, and that it says nothing worse."""
        assert self.plan
        record = verify(self.store, self.plan.rollback_id, self.database.resolve, self.progress, actor="test")
        checks = [check for check in record.execution.verification.checks if check.status is not CheckStatus.PASSED]
        assert {check.status for check in checks} <= {CheckStatus.WARNING}, checks
        assert record.execution.status == "verified"
        return {difference.partition(":")[0] for check in checks for difference in check.differences}


@pytest.fixture
def scenario(database: Database, memory_store: Store, monkeypatch: pytest.MonkeyPatch) -> Turns:
    """A database and a store; plans run in steps, in batches of two rows."""
    monkeypatch.setattr(steps, "ONE_TRANSACTION_ROWS", 0)
    monkeypatch.setattr(steps, "BATCH_ROWS", 2)
    return Turns(database, memory_store, progress=StepProgress())


@pytest.fixture(params=[10_000, 0], ids=["one transaction", "in steps"])
def either(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, database: Database, memory_store: Store
) -> Scenario:
    """With small and with large plans."""
    monkeypatch.setattr(steps, "ONE_TRANSACTION_ROWS", request.param)
    return Scenario(database, memory_store)


@pytest.mark.parametrize("kill", [False, True], ids=["", "killed in between"])
def test_what_applications_delete_in_between_stays_deleted(scenario: Turns, *, kill: bool) -> None:
    """A row that came back in the first turn and was deleted since; in a circle, too, and when another worker takes over."""
    scenario.begin(
        PARENTS + "alter table p add c int references c;"
        "create table single (id int primary key); insert into single select generate_series(1, 5)"
    ).migrate("delete from c; delete from p where id > 1; delete from single")

    def happens() -> None:
        scenario.application("delete from single where id = 2; delete from c where id = 3; delete from p where id = 3")
        if kill:
            scenario.rows(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'rollback-provider' and datname = current_database()"
            )

    scenario.generate()
    if kill:
        with pytest.raises(ComponentUnavailableError):
            scenario.between(happens)
        record = scenario.execute()
    else:
        record = scenario.between(happens)
    assert scenario.rows("select array_agg(id order by id) from single") == [([1, 3, 4, 5],)]
    assert scenario.rows("select array_agg(id order by id) from p") == [([1, 2, 4, 5, 6],)]
    assert scenario.rows("select array_agg(id order by id) from c") == [([1, 2],)]
    assert not scenario.entries(execution=record)
    assert scenario.verified() == {f"row id={key} was deleted by the migration and is not back" for key in (2, 3)}


def test_what_applications_insert_in_between_stays(scenario: Turns) -> None:
    """Even where it is, value by value, the row that the migration had inserted and the first turn deleted."""
    scenario.begin(PARENTS).migrate("insert into p select n, 'v' || n from generate_series(20, 24) n").generate()
    scenario.between(lambda: scenario.application("insert into p values (21, 'v21')"))
    assert scenario.rows("select id from p where id > 6") == [(21,)]
    assert scenario.verified() == {"row id=21 was inserted by the migration and is still there"}


def test_what_stood_in_the_way_comes_in_the_second_turn(scenario: Turns) -> None:
    """Also after a kill between the turns: what waits is known from the journal."""
    scenario.begin(PARENTS + "insert into c select n, 6 from generate_series(10, 14) n")
    before = scenario.rows("select p::text from p union all select c::text from c order by 1")
    scenario.migrate(
        "delete from p where id = 4; update p set v = 'v4' where id = 5; insert into p values (100, 'v'); update c set p = 100 where p = 6; delete from p where id = 6"
    )
    scenario.generate()
    with pytest.raises(ComponentUnavailableError):
        scenario.between(
            lambda: scenario.rows(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'rollback-provider' and datname = current_database()"
            )
        )
    record = scenario.execute()
    assert scenario.rows("select p::text from p union all select c::text from c order by 1") == before
    assert not scenario.entries(execution=record)
    scenario.verify()


def test_what_waits_and_is_written_in_between_is_listed(scenario: Turns) -> None:
    """A row that the first turn could not delete and that an application has changed since; a key that it could not insert and that is taken now."""
    scenario.begin(PARENTS).migrate(
        "insert into p values (100, 'v'); update c set p = 100 where id = 1; delete from p where id = 4; update p set v = 'v4' where id = 5"
    ).generate()
    record = scenario.between(
        lambda: scenario.application("update p set v = 'mine' where id = 100; insert into p values (4, 'another')")
    )
    assert scenario.rows("select id, v from p where id in (4, 100) order by id") == [(4, "another"), (100, "mine")]
    listed = {(entry["key"]["id"], entry["action"]) for entry in scenario.entries(execution=record)}
    assert listed == {("100", "conflict_kept"), ("4", "conflict_kept")}
    scenario.verify()


def test_a_circle_that_is_tried_again_lists_each_row_once(either: Scenario) -> None:
    """An application has taken what a row in a circle refers to: the others come back one by one, and the count is true."""
    either.begin(
        "create table a (id int primary key, b int); create table b (id int primary key, a int references a, v text unique);"
        "alter table a add foreign key (b) references b; insert into a select n from generate_series(1, 4) n;"
        "insert into b select n, n, 'v' || n from generate_series(1, 4) n; update a set b = id"
    ).migrate("update a set b = null; delete from b; delete from a").generate()
    either.application("insert into a values (1), (2); insert into b values (1, 2, 'mine'), (20, 1, 'v3')")
    record = either.execute()
    listed = Counter((entry["scope"], entry["key"]["id"]) for entry in either.entries(execution=record))
    assert listed == {("public.a", key): 1 for key in "123"} | {("public.b", key): 1 for key in "13"}
    assert record.execution.ledger.total() == 5
    assert either.rows("select a.id, a.b, b.v from a join b on b.id = a.b order by 1") == [(4, 4, "v4")]
    assert "3 rows inserted" in str([step.detail for step in record.execution.steps])
    either.verify()
