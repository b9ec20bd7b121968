"""The three-way merge: what the migration did goes, what applications did stays, what both did is listed."""

from __future__ import annotations

import pytest

from rollback_provider.components.postgres import steps
from rollback_provider.core.errors import ConflictError, DriftError, UnsupportedError
from rollback_provider.core.repository import Store
from rollback_provider.core.verifier import verify
from tests.components.scenario import Scenario
from tests.fix_postgres import Database
from tests.fix_servers import OLDEST_AND_NEWEST, socket_of

postgres_socket = socket_of(*OLDEST_AND_NEWEST)
ACCOUNTS = """
create table accounts (id int primary key, name text unique, city text, balance numeric(10, 2));
insert into accounts select n, 'name ' || n, 'city ' || n, n from generate_series(1, 9) n;
"""


@pytest.fixture
def scenario(database: Database, memory_store: Store) -> Scenario:
    """A database and a store."""
    return Scenario(database, memory_store)


@pytest.fixture(params=[10_000, 0], ids=["one transaction", "in steps"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, scenario: Scenario) -> Scenario:
    """The same with small and with large plans."""
    monkeypatch.setattr(steps, "ONE_TRANSACTION_ROWS", request.param)
    return scenario


def test_each_to_his_own(either: Scenario) -> None:
    """Rows of the migration go back, rows of applications stay, a row of both is merged by column."""
    either.begin(ACCOUNTS).migrate(
        "update accounts set city = 'X', balance = 0 where id <= 3; delete from accounts where id = 9; insert into accounts values (20, 'new')"
    ).application(
        "update accounts set name = 'renamed' where id = 1; update accounts set city = 'moved' where id = 5;"
        "insert into accounts values (30, 'mine'); delete from accounts where id = 6"
    )
    either.back()
    assert either.rows("select id, name, city, balance::text from accounts order by id") == [
        (1, "renamed", "city 1", "1.00"),
        (2, "name 2", "city 2", "2.00"),
        (3, "name 3", "city 3", "3.00"),
        (4, "name 4", "city 4", "4.00"),
        (5, "name 5", "moved", "5.00"),
        (7, "name 7", "city 7", "7.00"),
        (8, "name 8", "city 8", "8.00"),
        (9, "name 9", "city 9", "9.00"),
        (30, "mine", None, None),
    ]
    assert either.actions() == {"merged": 1}


def test_a_conflict_is_kept_and_listed(either: Scenario) -> None:
    """The default: an acknowledged write is not overwritten."""
    either.begin(ACCOUNTS).migrate("update accounts set city = 'X', balance = 0 where id <= 3").application(
        "update accounts set city = 'moved' where id = 2"
    )
    either.back()
    assert either.rows("select city, balance::text from accounts where id <= 3 order by id") == [
        ("city 1", "1.00"),
        ("moved", "2.00"),
        ("city 3", "3.00"),
    ]
    (entry,) = either.entries()
    assert entry["action"] == "conflict_kept"
    assert entry["key"] == {"id": "2"}
    assert (entry["before"], entry["migrated"], entry["now"]) == ({"city": "city 2"}, {"city": "X"}, {"city": "moved"})


def test_a_kept_value_that_is_written_again_before_the_rollback_is_nobodys_mistake(either: Scenario) -> None:
    """The rollback rewrites the table, and so each row bears its transaction id."""
    either.begin(ACCOUNTS).migrate(
        "update accounts set city = 'X', name = 'Y' where id = 2; insert into accounts values (20, 'new');"
        "alter table accounts alter balance type float8"
    ).application("update accounts set city = 'moved' where id in (2, 20)")
    either.generate()
    either.application("update accounts set city = 'moved again' where id in (2, 20)")
    either.execute()
    either.verify()
    kept = either.rows("select name, city from accounts where id in (2, 20) order by id")
    assert kept == [("name 2", "moved again"), ("new", "moved again")]


def test_a_conflict_is_restored_only_as_it_was_listed(either: Scenario) -> None:
    """What was written after the approval was not approved."""
    either.begin(ACCOUNTS).migrate(
        "update accounts set city = 'X' where id <= 3; insert into accounts values (20, 'new')"
    ).application(
        "update accounts set city = 'moved' where id in (2, 3); update accounts set city = 'here' where id = 20"
    )
    either.generate(conflicts="restore")
    assert either.actions() == {"conflict_restored": 3}
    either.application("update accounts set city = 'moved again' where id = 3")
    record = either.execute()
    either.verify()
    assert either.rows("select id, city from accounts where id <= 3 or id = 20 order by id") == [
        (1, "city 1"),
        (2, "city 2"),
        (3, "moved again"),
    ]
    (entry,) = either.entries(execution=record)
    assert (entry["action"], entry["key"], entry["now"]) == ("conflict_kept", {"id": "3"}, {"city": "moved again"})


def test_a_conflict_can_refuse_the_plan(scenario: Scenario) -> None:
    """Policy fail: nothing is planned."""
    scenario.begin(ACCOUNTS).migrate("update accounts set city = 'X'").application(
        "update accounts set city = 'Y' where id = 1"
    )
    with pytest.raises(ConflictError, match="db: 1 rows"):
        scenario.generate(conflicts="fail")


def test_inserted_rows_that_others_need_stay(either: Scenario) -> None:
    """Neither a changed row nor one that an application's row refers to is deleted; a cascade never takes an application's row."""
    either.begin(
        ACCOUNTS
        + "create table notes (id int primary key, account int references accounts on delete cascade, text text)"
    ).migrate(
        "insert into accounts select n, 'new ' || n from generate_series(20, 23) n; insert into notes values (1, 23, 'by the migration')"
    ).application("update accounts set city = 'here' where id = 20; insert into notes values (2, 21, 'mine')")
    either.generate()
    record = either.execute()
    assert [row[0] for row in either.rows("select id from accounts where id >= 20 order by id")] == [20, 21]
    assert either.rows("select id from notes") == [(2,)]
    listed = {entry["key"]["id"] for entry in [*either.entries(), *either.entries(execution=record)]}
    assert {"20", "21"} <= listed
    either.verify()


def test_deleted_rows_come_back_where_there_is_room(either: Scenario) -> None:
    """Parents before children; a taken key or a taken unique value is listed."""
    either.begin(
        ACCOUNTS
        + "create table notes (id int primary key, account int references accounts); insert into notes values (1, 7)"
    ).migrate("delete from notes; delete from accounts where id >= 5").application(
        "insert into accounts values (5, 'another'), (50, 'name 6')"
    )
    either.generate()
    record = either.execute()
    assert either.rows("select id, name from accounts where id >= 5 order by id") == [
        (5, "another"),
        (7, "name 7"),
        (8, "name 8"),
        (9, "name 9"),
        (50, "name 6"),
    ]
    assert either.rows("select * from notes") == [(1, 7)]
    assert [entry["key"]["id"] for entry in either.entries()] == ["5"]
    assert [entry["key"]["id"] for entry in either.entries(execution=record)] == ["6"]
    either.verify()


def test_a_value_that_is_taken_is_listed(either: Scenario) -> None:
    """One row that cannot go back does not stop the others."""
    either.begin(ACCOUNTS).migrate("update accounts set name = 'was ' || id").application(
        "insert into accounts values (50, 'name 4')"
    )
    either.generate()
    record = either.execute()
    assert either.rows("select id, name from accounts where name like 'was%'") == [(4, "was 4")]
    (entry,) = either.entries(execution=record)
    assert entry["key"] == {"id": "4"}
    assert "unique" in entry["reason"]
    either.verify()


def test_a_changed_key_goes_back(either: Scenario) -> None:
    """To the merge it is a deletion and an insertion."""
    either.begin(ACCOUNTS).migrate("update accounts set id = id + 100 where id > 5")
    either.back()
    assert [row[0] for row in either.rows("select id from accounts order by id")] == list(range(1, 10))


def test_triggers_do_not_fire_and_stay_as_they_were(either: Scenario) -> None:
    """A restored row is what it was, and each trigger is as it was: enabled, disabled, always, replica."""
    either.begin(
        ACCOUNTS
        + "create function shout() returns trigger language plpgsql as 'begin new.city := upper(new.city); return new; end';"
        + "".join(
            f"create trigger t_{mode} before insert or update on accounts for each row execute function shout();"
            for mode in "oaxr"
        )
        + "alter table accounts enable always trigger t_a; alter table accounts disable trigger t_x; alter table accounts enable replica trigger t_r"
    ).migrate("update accounts set city = 'y' where id < 4; delete from accounts where id = 9")
    either.back()
    assert either.rows("select city from accounts where id in (1, 9)") == [("city 1",), ("city 9",)]
    assert either.rows("select tgname, tgenabled::text from pg_trigger where not tgisinternal order by 1") == [
        ("t_a", "A"), ("t_o", "O"), ("t_r", "R"), ("t_x", "D"),
    ]  # fmt: skip


TYPES = """
create type mood as enum ('sad', 'ok'); create type pair as (a int, b text); create domain positive as int check (value > 0);
create table t (id bigint generated always as identity primary key, j json, jb jsonb, p point, f float8, g real, n numeric,
 by bytea, a text[], m mood, ms mood[], c pair, d positive, ch char(5), v varchar(9), ts timestamptz, iv interval, b boolean, r int4range,
 u uuid, dt date, mo money, bi bit(4), nam name, oi regclass, gen int generated always as (id * 2) stored, ci "char", inet inet);
insert into t (j, jb, p, f, g, n, by, a, m, ms, c, d, ch, v, ts, iv, b, r, u, dt, mo, bi, nam, oi, ci, inet) values
 ('{"a": 1,  "a": 2}', '{"b":1}', '(1,2)', 'NaN', -0.0, 1.00, '\\x00ff', array['a,b', null, '"', E'\\t\\\\'], 'ok', '{sad,ok}',
  (1, 'x"y'), 5, 'ab', 'v', 'infinity', '1 day 24 hours', true, '[1,5)', '00000000-0000-0000-0000-000000000001', '2026-02-28', '12.5',
  B'1010', 'n', 'pg_class', 'q', '10.0.0.1/8');
insert into t (n) select null from generate_series(1, 3);
insert into t (f, g, n, ts, iv, dt) values ('-infinity', 1e-30, 'NaN', '0044-03-15 BC', '-1 mon', '-infinity');
"""


def test_every_type_comes_back_exactly(either: Scenario) -> None:
    """Types without equality, values that are equal and not the same, and all NULL; judged by the server's own text."""
    either.begin(TYPES)
    before = either.rows("select t::text from t order by id")
    either.migrate(
        "update t set j = '{}', jb = null, p = '(3,4)', f = 1, g = 0, n = 1.0, by = '', a = '{}', m = 'sad', ms = null, c = (2, null),"
        " d = 6, ch = 'zz', v = '', ts = now(), iv = '2 days', b = not b, r = 'empty', u = null, dt = now(), mo = 1, bi = B'0000', nam = 'o',"
        " oi = null, ci = 'z', inet = null; delete from t where id = 3"
    )
    either.back()
    assert either.rows("select t::text from t order by id") == before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a int, b text, primary key (b, a)", "n, 'k' || n"),
        ("a uuid, b text, primary key (a)", "md5(n::text)::uuid, 'x'"),
        ("a text not null, b int, unique (a)", "E'k\\t' || n, n"),
        ("a timestamptz, b int, primary key (a)", "'2026-01-01'::timestamptz + n * interval '1 us', n"),
        ("a numeric(20, 10), b int, primary key (a)", "n / 7.0, n"),
        ('"a b" int, "select" text, primary key ("a b", "select")', "n, 'ü' || n"),
    ],
)
def test_keys_of_every_shape(either: Scenario, key: str, value: str) -> None:
    """Composite, uuid, text, unique instead of primary, quoted."""
    either.begin(f"create table k ({key}, v int); insert into k select {value}, n from generate_series(1, 50) n")
    before = either.rows("select k::text from k order by v")
    either.migrate("update k set v = -v where v % 2 = 0; delete from k where v % 5 = 0").application(
        "update k set v = v where v = 1"
    )
    either.back()
    assert either.rows("select k::text from k order by v") == before


def test_a_table_without_key_goes_back_as_a_whole(either: Scenario) -> None:
    """Where no application has written to it; else it is refused by name."""
    either.begin("create table k (v int, w text); insert into k select n / 2, 'w' from generate_series(1, 50) n")
    before = either.rows("select v, w from k order by 1")
    either.migrate(
        "update k set v = 0 where v > 20; alter table k rename column w to ww; alter table k add z int default 5"
    )
    either.back()
    assert either.rows("select v, w from k order by 1") == before


def test_a_table_without_key_that_applications_wrote_to_is_refused(scenario: Scenario) -> None:
    """Its rows cannot be told apart."""
    scenario.begin("create table k (v int); insert into k values (1), (1), (2)").migrate(
        "update k set v = 5 where v = 2"
    ).application("insert into k values (3)")
    with pytest.raises(UnsupportedError, match=r"public\.k has no key"):
        scenario.generate()


def test_dropped_and_changed_columns_and_tables(either: Scenario) -> None:
    """All at once, under an application that knows the new schema."""
    either.begin(
        ACCOUNTS
        + "alter table accounts add code varchar(20) not null default 'none'; update accounts set code = 'c' || id where id > 2;"
        + "create table promotions (id int primary key, note text not null, account int references accounts);"
        + "insert into promotions select n, 'p', n from generate_series(1, 5) n"
    )
    before = either.rows("select id, name, city, balance::text, code from accounts order by id")
    either.migrate(
        "drop table promotions; alter table accounts drop column code; alter table accounts rename name to title;"
        "alter table accounts alter balance type int; alter table accounts add check (balance >= 0); alter table accounts add tier text;"
        "update accounts set city = 'X' where id = 4; create table tiers (tier text primary key)"
    ).application(
        "insert into accounts values (40, 'mine', 'c', 40, 'gold'); insert into tiers values ('gold'); delete from accounts where id = 9"
    )
    either.back()
    expected = [*(row for row in before if row[0] != 9), (40, "mine", "c", "40.00", "none")]
    assert either.rows("select id, name, city, balance::text, code from accounts order by id") == expected
    assert either.rows("select count(*) from promotions") == [(4,)] or either.rows(
        "select count(*) from promotions"
    ) == [(5,)]
    discarded = {(entry["scope"], str(entry["now"])) for entry in either.entries() if entry["action"] == "discarded"}
    assert discarded == {("public.accounts", "{'tier': 'gold'}"), ("public.tiers", "{'tier': 'gold'}")}


def test_what_is_written_to_new_tables_after_the_plan_is_listed_too(either: Scenario) -> None:
    """Nothing vanishes unlisted, however late it comes."""
    either.begin(ACCOUNTS).migrate("create table tiers (tier text primary key); alter table accounts add tier text")
    either.generate()
    assert not either.entries()
    either.application("insert into tiers values ('late'); update accounts set tier = 'late' where id = 3")
    record = either.execute()
    assert [(e["scope"], e["action"], e["now"]) for e in either.entries(execution=record)] == [
        ("public.tiers", "discarded", {"tier": "late"}),
        ("public.accounts", "discarded", {"tier": "late"}),
    ]
    either.verify()


@pytest.mark.parametrize(
    ("before", "migration"),
    [
        ("text", "alter table v alter c type varchar(3) using left(c, 3)"),
        ("timestamptz", "alter table v alter c type date"),
        ("numeric(12,4)", "alter table v alter c type numeric(6,1)"),
        ("double precision", "alter table v alter c type real"),
        ("int", "alter table v alter c type text using case c when 1 then 'one' else 'many' end"),
        ("text", "alter table v alter c type int using length(c)"),
        ("int", "alter table v alter c type bigint"),
        ("varchar(40)", "alter table v alter c type text"),
    ],
)
def test_lossy_type_changes_bring_the_old_values_back(either: Scenario, before: str, migration: str) -> None:
    """Not what is left of them when cast back."""
    value = {
        "timestamptz": "'2026-01-01 10:11:12'::timestamptz + n * interval '1 day'",
        "text": "repeat('x', n)",
        "varchar(40)": "'v' || n",
    }.get(before, "n * 1.0625")
    either.begin(
        f"create table v (id int primary key, c {before}); insert into v select n, {value} from generate_series(1, 20) n"
    )
    was = either.rows("select id, c::text from v order by id")
    either.migrate(migration)
    either.back()
    assert either.rows("select id, c::text from v order by id") == was


def test_circles_of_foreign_keys(either: Scenario) -> None:
    """Self-reference and two tables that refer to each other."""
    either.begin(
        "create table a (id int primary key, up int references a, b int); create table b (id int primary key, a int references a);"
        "alter table a add foreign key (b) references b deferrable; insert into a select n, nullif(n - 1, 0) from generate_series(1, 9) n;"
        "insert into b select n, n from generate_series(1, 9) n; update a set b = id"
    )
    before = either.rows("select a.*, b.* from a join b on b.id = a.b order by 1")
    either.migrate("update a set b = null where id > 4; delete from b where id > 4; delete from a where id > 5")
    either.back()
    assert either.rows("select a.*, b.* from a join b on b.id = a.b order by 1") == before


def test_partitions(either: Scenario) -> None:
    """Rows of leaves, an attached partition, and one that the migration added."""
    either.begin(
        "create table p (id int, at date, v text, primary key (id, at)) partition by range (at);"
        "create table p1 partition of p for values from ('2026-01-01') to ('2026-02-01');"
        "create table p2 partition of p for values from ('2026-02-01') to ('2026-03-01');"
        "insert into p select n, '2026-01-01'::date + n, 'v' from generate_series(1, 50) n"
    )
    before = either.rows("select tableoid::regclass::text, p.* from p order by id")
    either.migrate(
        "create table p3 partition of p for values from ('2026-03-01') to ('2026-04-01'); update p set v = 'w' where id % 3 = 0;"
        "update p set at = at + 40 where id = 1; insert into p values (99, '2026-03-05', 'x')"
    ).application("insert into p values (60, '2026-01-05', 'mine')")
    either.back()
    rows = either.rows("select tableoid::regclass::text, p.* from p order by id")
    assert [row for row in rows if row[1] != 60] == before
    assert len(rows) == len(before) + 1


def test_sequences_only_move_forward(either: Scenario) -> None:
    """One that was set back or dropped goes to where it stood; one that applications have advanced stays."""
    either.begin(
        "create sequence a; create sequence b; create sequence c; select setval('a', 50), setval('b', 50), setval('c', 50);"
        "create table s (id serial primary key); insert into s select from generate_series(1, 7)"
    ).migrate("alter sequence a restart 1; drop sequence b; drop table s").application("select setval('c', 70)")
    either.back()
    assert either.rows("select nextval('a'), nextval('b'), nextval('c'), nextval('s_id_seq')") == [(51, 51, 71, 8)]


def test_without_checkpoint_everything_is_ambiguous(scenario: Scenario) -> None:
    """Restored by default and listed; kept where the policy says so; or refused."""
    scenario.begin(ACCOUNTS).application(
        "update accounts set city = 'X' where id = 1; insert into accounts values (20); delete from accounts where id = 2"
    )
    with pytest.raises(ConflictError, match="no checkpoint"):
        scenario.generate(ambiguous="fail")
    assert not scenario.generate(ambiguous="keep").steps
    scenario.back()
    assert scenario.actions() == {"ambiguous": 3}
    assert scenario.rows("select count(*), min(city), max(id) from accounts") == [(9, "city 1", 9)]


def test_a_constraint_that_rows_stand_against_is_left_off_and_named(either: Scenario) -> None:
    """The application has written what it forbids: its rows stay, everything else comes back, and verification says what is missing."""
    either.begin(
        ACCOUNTS + "alter table accounts add check (balance < 100); create index by_city on accounts (city)"
    ).migrate(
        "alter table accounts drop constraint accounts_name_key; alter table accounts drop constraint accounts_balance_check;"
        "drop index by_city; update accounts set city = 'X' where id = 1"
    ).application("insert into accounts values (30, 'name 1', null, 500)")
    either.generate()
    record = either.execute()
    left_off = [entry["key"]["statement"] for entry in either.entries(execution=record) if entry["scope"] == "schema"]
    assert len(left_off) == 2
    assert either.rows("select city from accounts where id in (1, 30) order by id") == [("city 1",), (None,)]
    assert either.rows("select count(*) from pg_indexes where indexname = 'by_city'") == [(1,)]
    with pytest.raises(AssertionError, match="accounts_name_key"):
        either.verify()


@pytest.mark.parametrize(
    ("setup", "migration"),
    [
        (
            "create table p (id int primary key, v text unique); create table c (id int primary key, p int references p);"
            "insert into p select n, 'v' || n from generate_series(1, 9) n; insert into c select n, n % 9 + 1 from generate_series(1, 30) n",
            "insert into p values (100, 'canonical'); update c set p = 100 where p in (2, 3); delete from p where id in (2, 3)",
        ),
        (
            "create table p (id int primary key); create table c (id int primary key, p int references p on update cascade);"
            "insert into p select n from generate_series(1, 9) n; insert into c select n, n % 9 + 1 from generate_series(1, 30) n",
            "update p set id = id + 1000 where id = 1",
        ),
        (
            "create table p (id int primary key, v text unique); insert into p select n, 'v' || n from generate_series(1, 9) n",
            "delete from p where id = 1; update p set v = 'v1' where id = 2",
        ),
        (
            "create table a (id int primary key, b int); create table b (id int primary key, a int references a);"
            "alter table a add foreign key (b) references b; insert into a select n from generate_series(1, 4) n;"
            "insert into b select n, n from generate_series(1, 4) n; update a set b = id;"
            "create function f() returns trigger language plpgsql as 'begin return new; end';"
            "create trigger f before insert on a for each row execute function f()",
            "update a set b = null where id = 3; delete from b where id = 3; delete from a where id = 3",
        ),
    ],
    ids=["deduplicated", "renumbered with a cascade", "a unique value given to another row", "a circle with a trigger"],
)
def test_rows_that_stand_in_each_others_way(either: Scenario, setup: str, migration: str) -> None:
    """No application has written anything, so everything must come back, and nothing may be listed."""
    either.begin(setup)
    tables = [
        table
        for (table,) in either.rows(
            "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
        )
    ]
    before = {table: either.rows(f"select t::text from {table} t order by 1") for table in tables}
    either.migrate(migration)
    either.generate()
    record = either.execute()
    assert {table: either.rows(f"select t::text from {table} t order by 1") for table in tables} == before
    assert not either.entries()
    assert not either.entries(execution=record)
    either.verify()


def test_application_values_that_the_old_type_cannot_hold_are_listed(either: Scenario) -> None:
    """They are converted as well as may be, and kept in the ledger in full."""
    either.begin(
        "create table v (id int primary key, c int, d timestamptz); insert into v select n, n, '2026-01-01' from generate_series(1, 5) n"
    )
    either.migrate("alter table v alter c type numeric, alter d type date").application(
        "insert into v values (7, 1.7, '2026-02-02')"
    )
    either.generate()
    either.application("insert into v values (8, 2.5, '2026-02-02'), (9, 3, '2026-02-02')")
    record = either.execute()
    listed = [(e["key"]["id"], e["now"]) for e in [*either.entries(), *either.entries(execution=record)]]
    assert listed == [("7", {"c": "1.7"}), ("8", {"c": "2.5"})]
    either.verify()


def test_a_keyless_table_written_to_after_the_plan_is_not_replaced(either: Scenario) -> None:
    """Its rows could not be told apart afterwards."""
    either.begin("create table k (v int); insert into k values (1), (2)").migrate("update k set v = 5 where v = 2")
    either.generate()
    either.application("insert into k values (9)")
    with pytest.raises(DriftError, match=r"public\.k"):
        either.execute()
    assert either.rows("select v from k order by 1") == [(1,), (5,), (9,)]


def test_keys_that_can_be_written_in_several_ways_do_not_lose_rows(either: Scenario) -> None:
    """1 and 1.00 are one key, and not one text."""
    either.begin("create table k (id numeric primary key, v int); insert into k values (1, 1), (2.5, 2), (3, 3)")
    either.migrate("alter table k alter id type numeric(10, 2); update k set v = 0 where id = 1")
    either.back()
    assert either.rows("select id::text, v from k order by v") == [("1", 1), ("2.5", 2), ("3", 3)]


def test_rows_of_other_schemas_are_not_taken_along_by_a_cascade(scenario: Scenario) -> None:
    """A schema that is not rolled back may refer to one that is."""
    scenario.options = {"schemas": ["public"]}
    scenario.begin(
        "create table t (id int primary key); create schema o; create table o.ch (id int primary key, t int references t on delete cascade)"
    )
    scenario.migrate("insert into t values (7), (8)").application("insert into o.ch values (1, 7)")
    scenario.generate()
    record = scenario.execute()
    assert scenario.rows("select t from o.ch") == [(7,)]
    assert [entry["key"] for entry in scenario.entries(execution=record)] == [{"id": "7"}]


def test_verification_finds_what_was_changed_back_by_hand(either: Scenario) -> None:
    """What the ledger discards excuses nothing."""
    either.begin(ACCOUNTS).migrate("alter table accounts add tier text; update accounts set city = 'X'").application(
        "update accounts set tier = 'gold'"
    )
    either.back()
    either.application("update accounts set city = 'X' where id = 1")
    with pytest.raises(AssertionError, match="id=1: city is 'X', was 'city 1'"):
        either.verify()


@pytest.mark.parametrize(
    ("setup", "migration"),
    [
        (
            "create table t (id int primary key, a text default 'old'); insert into t values (1, 'x'), (2, default)",
            "alter table t drop column a; alter table t add a text default 'new'",
        ),
        (
            "create table t (id int primary key, v text); insert into t values (1, 'a'), (2, 'b')",
            "alter table t drop column id; alter table t add id int",
        ),
        (
            "create table p (id int primary key); create table t (id int primary key, p int references p deferrable initially deferred,"
            " q int references p); insert into p values (1), (2); insert into t values (1, 1, 1)",
            "alter table t drop column q; update t set p = 2",
        ),
    ],
    ids=["another default", "a key added again", "a deferred foreign key"],
)
def test_columns_dropped_and_added_again(either: Scenario, setup: str, migration: str) -> None:
    """Found by random histories."""
    either.begin(setup)
    before = either.rows("select to_jsonb(t)::text from t order by 1")
    either.migrate(migration)
    either.back()
    assert either.rows("select to_jsonb(t)::text from t order by 1") == before


def test_a_parent_that_cannot_come_back_stops_only_its_children(either: Scenario) -> None:
    """And both are listed."""
    either.begin(
        "create table t (id int primary key, name text unique, up int references t);"
        "insert into t values (1, 'a', null), (2, 'b', 1), (3, 'c', null)"
    ).migrate("delete from t").application("insert into t values (9, 'a', null)")
    either.generate()
    record = either.execute()
    assert either.rows("select id from t order by id") == [(3,), (9,)]
    assert {entry["key"]["id"] for entry in either.entries(execution=record)} == {"1", "2"}


def test_a_shortened_key_does_not_stand_in_the_way(either: Scenario) -> None:
    """The snapshot's keys are longer than the key's type is now."""
    either.begin("create table t (k text primary key, v int); insert into t values ('longer', 1), ('b', 2)")
    either.migrate("update t set k = left(k, 3); alter table t alter k type varchar(3)")
    either.back()
    assert either.rows("select k, v from t order by v") == [("longer", 1), ("b", 2)]


def test_rows_of_a_keyless_table_that_others_refer_to_stay(either: Scenario) -> None:
    """Of a table whose rows cannot be told apart only what differs is written: the rest is referred to."""
    either.begin(
        "create table t (id int unique, v int); insert into t values (1, 1), (2, 2), (2 + 1, 3), (null, 4), (null, 4);"
        "create table child (t int references t (id)); insert into child values (1)"
    )
    either.migrate(
        "alter table t alter id type numeric(12, 2); delete from t where v >= 3; insert into t values (9, 9)"
    )
    either.application("insert into child values (2)").back()
    assert either.rows("select id, v from t order by v, id") == [(1, 1), (2, 2), (3, 3), (None, 4), (None, 4)]


def test_a_domain_and_a_trigger_go_back_in_one_transaction(scenario: Scenario) -> None:
    """PostgreSQL 18 refuses to alter a table behind a savepoint while a dropped domain constraint has left something to do."""
    scenario.begin(
        "create domain small as int; create table t (id int primary key, v small);"
        "create function f() returns trigger language plpgsql as 'begin return null; end';"
        "create trigger g after insert on t for each row execute function f()"
    )
    scenario.migrate("alter domain small add check (value < 1000); alter table t enable always trigger g").back()
    assert scenario.rows("select tgenabled from pg_trigger where tgname = 'g'") == [("O",)]


@pytest.mark.parametrize(
    ("writes", "status", "detail"),
    [
        ("insert into log values ('three')", "passed", "identical but for 1 inserted by applications"),
        (
            "update log set line = 'new' where line = 'two'",
            "warning",
            "1 of the snapshot's rows were changed or deleted, 1 written",
        ),
        (
            "delete from log where line = 'two'",
            "warning",
            "1 of the snapshot's rows were changed or deleted, 0 written",
        ),
    ],
)
def test_applications_write_to_a_table_without_key_that_the_migration_left_alone(
    scenario: Scenario, writes: str, status: str, detail: str
) -> None:
    scenario.begin(ACCOUNTS + "create table log (line text); insert into log values ('one'), ('two'), ('two plus')")
    scenario.migrate("update accounts set city = 'X'").application(writes)
    plan = scenario.generate()
    scenario.execute()
    record = verify(scenario.store, plan.rollback_id, scenario.database.resolve, scenario.progress, actor="test")
    (check,) = [check for check in record.execution.verification.checks if check.scope == "public.log"]
    assert (check.status, check.detail[: len(detail)]) == (status, detail)
    assert record.execution.status == "verified"
