"""What the role may not do is found when the plan is made, with the object and the GRANT; nothing has been changed then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rollback_provider.core.errors import PermissionDeniedError
from rollback_provider.core.repository import Store
from tests.components.scenario import Scenario
from tests.fix_postgres import Database

SETUP = """
create table t (id int primary key, v text); insert into t select n, 'v' || n from generate_series(1, 5) n;
create sequence s; create type mood as enum ('sad', 'ok'); create type pair as (a int, b int); create domain small as int check (value > 0);
create view names as select id, v from t; create function one() returns int language sql as 'select 1';
create schema other; create table other.o (id int primary key); create table child (id int primary key);
create aggregate total (int) (sfunc = int4pl, stype = int); create collation german (locale = 'C');
"""
OWNED = {
    "function": "create or replace function one() returns int language sql as 'select 2'",
    "function dropped": "drop function one()",
    "enum": "alter type mood rename value 'sad' to 'blue'",
    "composite type": "alter type pair add attribute c int",
    "domain": "alter domain small drop constraint small_check",
    "view": "create or replace view names as select id, v from t where id > 1",
    "view renamed": "alter view names rename to called",
    "comment": "comment on function one() is 'x'",
    "privileges": "grant usage on type mood to public; revoke execute on function one() from public",
    "aggregate": "drop aggregate total (int)",
    "collation": "alter collation german rename to deutsch",
    "index": "create index by_v on t (v)",
    "trigger": "create function f() returns trigger language plpgsql as 'begin return new; end'; create trigger f before insert on t for each row execute function f()",
    "policy": "create policy p on t using (true)",
    "column comment": "comment on column t.v is 'x'",
    "a table moved": "alter table t set schema other",
    "default privileges": "alter default privileges in schema public grant select on tables to public",
    "owner": "alter function one() owner to clerk",
    "sequence": "alter sequence s increment 5",
    "schema of the database's owner": "comment on schema public is 'x'",
}


@pytest.fixture
def clerk(database: Database, memory_store: Store) -> Iterator[Scenario]:
    """A role that may read and write everything and owns nothing, and rolls back what the owner has migrated."""
    database.run(
        "drop role if exists clerk; create role clerk login;"
        + SETUP
        + "grant usage, create on schema public, other to clerk; grant all on all tables in schema public, other to clerk; grant all on s to clerk"
    )
    yield Scenario(database, memory_store)
    database.run("reassign owned by clerk to postgres; drop owned by clerk; drop role clerk")


def _as_clerk(scenario: Scenario) -> Database:
    owner = scenario.database
    scenario.database = Database(owner.socket, owner.name, "clerk")
    return owner


@pytest.mark.parametrize("what", OWNED)
def test_objects_of_somebody_else_are_named(clerk: Scenario, what: str) -> None:
    """Whatever their kind: the plan is refused, and goes once the role is granted."""
    clerk.begin("grant select on all tables in schema public, other to clerk").migrate(OWNED[what])
    owner = _as_clerk(clerk)
    owner.run("grant select on all sequences in schema public to clerk")
    with pytest.raises(PermissionDeniedError, match=r"GRANT (postgres|clerk) TO clerk") as refused:
        clerk.generate()
    assert "Nothing was changed" in str(refused.value)
    owner.run("grant postgres to clerk")
    clerk.back()


def test_rows_that_may_not_be_written_are_named(clerk: Scenario) -> None:
    """Also where the schema is as it was."""
    clerk.begin("").migrate("update t set v = 'X'; delete from child; alter sequence s restart 5")
    owner = _as_clerk(clerk)
    owner.run("revoke update on t from clerk")
    with pytest.raises(PermissionDeniedError, match=r"GRANT SELECT, INSERT, UPDATE, DELETE ON public\.t TO clerk"):
        clerk.generate()
    owner.run("grant update on t to clerk")
    clerk.back()
    owner.run(
        "create function f() returns trigger language plpgsql as 'begin return new; end'; create trigger f before update on t for each row execute function f()"
    )
    clerk.database = owner
    clerk.begin("").migrate("update t set v = 'X'")
    _as_clerk(clerk)
    with pytest.raises(PermissionDeniedError, match=r"table public\.t.*GRANT postgres TO clerk"):
        clerk.generate()


@pytest.mark.parametrize(
    ("migration", "before", "grant"),
    [
        ("drop table child", "revoke create on schema public from clerk", "GRANT CREATE ON SCHEMA public TO clerk"),
        ("drop schema other cascade", "", "GRANT CREATE ON DATABASE .* TO clerk"),
        ("drop table child", "", "GRANT postgres TO clerk"),
        ("drop table mine", "revoke references on t from clerk", r"GRANT REFERENCES ON public\.t TO clerk"),
    ],
    ids=["in its schema", "a schema", "for its owner", "a foreign key"],
)
def test_what_may_not_be_made_again_is_named(clerk: Scenario, migration: str, before: str, grant: str) -> None:
    """Where it was, whose it was, and what it refers to."""
    clerk.begin("create table mine (id int primary key references t); alter table mine owner to clerk")
    clerk.migrate(migration)
    owner = _as_clerk(clerk)
    owner.run(before or "select 1")
    with pytest.raises(PermissionDeniedError, match=grant):
        clerk.generate()


def test_a_snapshot_says_what_its_role_could_not_take_back(clerk: Scenario) -> None:
    """It is no refusal: the migration may leave these alone."""
    clerk.application("grant select on all sequences in schema public to clerk")
    _as_clerk(clerk)
    clerk.begin("select 1")
    (said,) = [text for text in clerk.progress.messages if "belong to others" in text]
    assert "table public.t" in said
    assert "GRANT postgres TO clerk" in said


def test_a_superuser_gives_objects_to_owners_who_may_not_make_any(database: Database, memory_store: Store) -> None:
    """Only others need their new owner to be allowed to create in the schema."""
    database.run(
        "drop role if exists clerk; create role clerk; create schema other; create function other.one() returns int language sql as 'select 1'"
    )
    scenario = (
        Scenario(database, memory_store)
        .begin("alter function other.one() owner to clerk")
        .migrate("drop function other.one()")
    )
    scenario.back()
    assert scenario.rows("select proowner::regrole::text from pg_proc where proname = 'one'") == [("clerk",)]
    database.run("drop owned by clerk; drop role clerk")
