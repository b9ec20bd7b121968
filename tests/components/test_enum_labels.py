"""Labels of enums that a migration renames: a value is the label that it is, however that is called."""

from __future__ import annotations

import pytest

from rollback_provider.components.postgres import steps
from rollback_provider.core.errors import UnsupportedError
from rollback_provider.core.repository import Store
from tests.components.scenario import Scenario
from tests.fix_postgres import Database

MOODS = """
create type mood as enum ('sad', 'ok', 'very, "happy"');
create table t (id int primary key, m mood, ms mood[], v text, unique (v));
insert into t select n, (enum_range(null::mood))[1 + n % 3], enum_range(null::mood), 'v' || n from generate_series(1, 9) n;
insert into t values (10, null, '{}', 'v10'), (11, 'ok', null, 'v11'), (12, 'sad', '{{sad,ok},{ok,NULL}}', 'v12');
"""
RENAME = "alter type mood rename value 'sad' to 'blue';"
SWAP = "alter type mood rename value 'sad' to 'x'; alter type mood rename value 'ok' to 'sad'; alter type mood rename value 'x' to 'ok';"
WRITES = """
update t set m = enum_first(null::mood) where id in (1, 2, 10); update t set ms = array[enum_first(null::mood), null, enum_last(null::mood)] where id = 4;
update t set v = 'w' || id where id in (2, 5, 7, 12); delete from t where id = 9; insert into t values (20, enum_first(null::mood), null, 'new');
"""


@pytest.fixture(params=[10_000, 0], ids=["one transaction", "in steps"])
def scenario(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, database: Database, memory_store: Store
) -> Scenario:
    """With small and with large plans."""
    monkeypatch.setattr(steps, "ONE_TRANSACTION_ROWS", request.param)
    return Scenario(database, memory_store)


@pytest.mark.parametrize("rewritten", ["", "alter table t alter id type bigint;"], ids=["", "rewritten"])
@pytest.mark.parametrize(
    "rename", [RENAME, SWAP, RENAME + "alter type mood add value 'new';"], ids=["renamed", "swapped", "and added"]
)
def test_rows_that_hold_a_renamed_label_go_back(scenario: Scenario, rename: str, rewritten: str) -> None:
    """Written in the same migration or not; alone, in arrays, in rows of which something else was changed."""
    scenario.begin(MOODS)
    before = scenario.rows("select t::text from t order by id")
    scenario.migrate(rename).migrate(rewritten + WRITES)
    scenario.generate()
    record = scenario.execute()
    assert scenario.rows("select t::text from t order by id") == before
    assert not scenario.entries()
    assert not scenario.entries(execution=record)
    scenario.verify()


@pytest.mark.parametrize("rename", [RENAME, SWAP], ids=["renamed", "swapped"])
def test_what_applications_wrote_with_a_renamed_label_stays(scenario: Scenario, rename: str) -> None:
    """As the label that it is; a row of both is merged by column, or is a conflict where both wrote the same value."""
    scenario.begin(MOODS).migrate(rename + WRITES).application(
        "update t set m = enum_first(null::mood) where id in (5, 8); update t set v = 'mine' where id = 1; update t set m = (enum_range(null::mood))[2] where id = 2;"
        "insert into t values (30, enum_first(null::mood), enum_range(null::mood), 'v30')"
    )
    scenario.generate()
    scenario.application(
        "update t set ms = array[enum_first(null::mood)] where id = 7; update t set m = 'very, \"happy\"' where id = 10"
    )
    record = scenario.execute()
    rows = dict(scenario.rows("select id, concat_ws('|', m, ms, v) from t"))
    everything = '{sad,ok,"very, \\"happy\\""}'
    assert {key: rows[key] for key in (1, 2, 5, 7, 8, 10, 30)} == {
        1: f"ok|{everything}|mine",
        2: f"ok|{everything}|v2",
        5: f"sad|{everything}|v5",
        7: "ok|{sad}|v7",
        8: f"sad|{everything}|v8",
        10: 'very, "happy"|{}|v10',
        30: f"sad|{everything}|v30",
    }
    listed = {e["key"]["id"]: e["action"] for e in [*scenario.entries(), *scenario.entries(execution=record)]}
    assert listed == {"1": "merged", "2": "conflict_kept", "5": "merged", "7": "merged", "10": "conflict_kept"}
    scenario.verify()


def test_a_key_that_holds_a_renamed_label(scenario: Scenario) -> None:
    """Rows cannot be matched by the text of that key: they go back as a whole, or are refused where applications have written, too."""
    setup = "create type mood as enum ('sad', 'ok'); create table k (m mood primary key, v int); insert into k values ('sad', 1), ('ok', 2);"
    scenario.begin(setup).migrate(RENAME).back()
    assert scenario.rows("select m::text, v from k order by v") == [("sad", 1), ("ok", 2)]
    changes = "delete from k where m = 'blue'; alter table k alter v type bigint; update k set v = 3;"
    scenario.begin("").migrate(RENAME + changes).back()
    assert scenario.rows("select m::text, v from k order by v") == [("sad", 1), ("ok", 2)]
    scenario.begin("").migrate(RENAME + changes).application("insert into k values ('blue', 4)")
    with pytest.raises(UnsupportedError, match=r"public\.k has no key"):
        scenario.generate()


def test_values_that_only_a_label_added_since_can_hold_are_refilled(scenario: Scenario) -> None:
    """In arrays, too: found before anything is changed."""
    scenario.begin(MOODS)
    before = scenario.rows("select t::text from t order by id")
    scenario.migrate(RENAME + "alter type mood add value 'new'").migrate(
        "update t set ms = '{new,blue}', m = 'new' where id < 4"
    )
    scenario.back()
    assert scenario.rows("select t::text from t order by id") == before
