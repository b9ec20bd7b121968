"""Servers and connections that a rollback cannot use, and databases that are not what they were: one clear error, or the way back."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rollback_provider.core.errors import (
    ComponentUnavailableError,
    ConfigurationError,
    DriftError,
    PermissionDeniedError,
)
from rollback_provider.core.repository import Repository, Store
from tests.components.fix.ddl_cases import part
from tests.components.fix.schema_text import database_text, pg_dump
from tests.components.scenario import Scenario
from tests.fix_postgres import Database
from tests.fix_servers import PostgresServer, as_nobody, running, started

SHOP = part("shop")
MIGRATION = "alter table orders rename note to remark; update orders set total = 0; drop table customers cascade"


@pytest.fixture
def scenario(database: Database, memory_store: Store) -> Scenario:
    """A database and a store."""
    return Scenario(database, memory_store)


def _run(program: Path, words: str, at: Path) -> None:
    """Runs a program of a server's as the server's user, in a folder of its."""
    subprocess.run([str(program), *words.split()], check=True, stdout=subprocess.DEVNULL, cwd=at, **as_nobody())


def test_a_pooler_in_transaction_mode_is_refused(scenario: Scenario, pooled: Callable[[str], Database]) -> None:
    """Before a setting of ours could get into a session that others use."""
    database = pooled("transaction")
    with pytest.raises(ConfigurationError, match=r"db: .*pooler in transaction mode"):
        Scenario(database, scenario.store).begin(SHOP)
    assert not Repository(scenario.store).snapshot_ids()
    assert database.rows("show search_path") == [('"$user", public',)]


def test_a_pooler_in_transaction_mode_is_refused_while_others_use_it(
    scenario: Scenario, pooled: Callable[[str], Database]
) -> None:
    """Whichever session it happens to lend us."""
    database = pooled("transaction")
    with database.connect() as one, database.connect() as two:
        one.execute("begin; select 1")
        two.execute("begin; select 1")
        one.execute("rollback")
        with pytest.raises(ConfigurationError, match="pooler in transaction mode"):
            Scenario(database, scenario.store).begin(SHOP)


def test_a_pooler_in_session_mode_is_as_good_as_none(scenario: Scenario, pooled: Callable[[str], Database]) -> None:
    """All five steps."""
    scenario.database = pooled("session")
    scenario.begin(SHOP)
    before = database_text(scenario.database)
    scenario.migrate(MIGRATION).back()
    assert database_text(scenario.database) == before


def test_a_replica_is_refused(memory_store: Store) -> None:
    """The plan of the primary is not executed there; on the primary it is."""
    with running(18) as primary:
        scenario = Scenario(Database(primary.socket, "postgres"), memory_store).begin(SHOP).migrate(MIGRATION)
        scenario.generate()
        copy = Path(primary.socket) / "replica"
        copy.mkdir(0o700)
        as_nobody(copy)
        _run(primary.programs / "pg_basebackup", f"-h {primary.socket} -U postgres -D {copy}/data -R -c fast", copy)
        with started(primary.programs, copy / "data", copy):
            scenario.database, there = Database(str(copy), "postgres"), scenario.database
            with pytest.raises(ConfigurationError, match="db: The server is a replica"):
                scenario.execute()
            scenario.database = there
            scenario.execute()
            scenario.verify()


def test_a_full_disk_is_one_clear_error_and_no_loss(memory_store: Store) -> None:
    """The server may not write beyond a size, in the middle of a page: to it that is a full disk."""
    with running(14) as server:
        home = Path(server.socket)
        scenario = Scenario(Database(server.socket, "postgres"), memory_store)
        scenario.begin(SHOP + "create table big as select n, repeat('x', 900) v from generate_series(1, 20000) n")
        before = database_text(scenario.database)
        scenario.migrate("drop table big; alter table orders rename note to remark")
        scenario.generate()
        _run(server.programs / "pg_ctl", "-D data -m fast stop", home)
        with started(server.programs, home / "data", home, largest_file=17 * 2**20 + 4096):
            with pytest.raises(ComponentUnavailableError, match="db: PostgreSQL has run out of a resource"):
                scenario.execute()
            assert scenario.rows("select to_regclass('big')") == [(None,)]
        with started(server.programs, home / "data", home):
            scenario.execute()
            scenario.verify()
            assert database_text(scenario.database) == before


def test_a_server_that_was_upgraded_is_another_system(
    memory_store: Store, servers: Callable[[int], PostgresServer]
) -> None:
    """pg_upgrade makes a new cluster: neither identities nor transaction ids of the snapshot mean anything in it."""
    with running(14) as old:
        home = Path(old.socket)
        scenario = Scenario(Database(old.socket, "postgres"), memory_store).begin(SHOP).migrate(MIGRATION)
        scenario.generate()
        _run(old.programs / "pg_ctl", "-D data -m fast stop", home)
        new = servers(18).programs
        _run(new / "initdb", "-D new -U postgres --no-locale -E UTF8 --no-data-checksums --no-sync", home)
        _run(
            new / "pg_upgrade",
            f"-U postgres -b {old.programs} -B {new} -d {home}/data -D {home}/new -s {home} --link --no-sync",
            home,
        )
        with started(new, home / "new", home):
            for step in (scenario.generate, scenario.execute):
                with pytest.raises(ConfigurationError, match="db: The connection leads to another system"):
                    step()
            assert scenario.rows("select count(*) from orders where total = 0") == [(3,)]


def _dumped(database: Database, path: Path, *options: str) -> Path:
    subprocess.run([str(pg_dump()), "-Fc", "-f", str(path), *options, "--dbname", database.dsn], check=True)
    return path


def _restore(database: Database, dump: Path, *options: str) -> None:
    command = [str(pg_dump().parent / "pg_restore"), *options, "--dbname", database.dsn, str(dump)]
    subprocess.run(command, check=True)


def test_a_database_restored_in_place_goes_back(scenario: Scenario, tmp_path: Path) -> None:
    """Every table is a new one: they are matched by name and key, and rows by value."""
    scenario.begin(SHOP)
    before = database_text(scenario.database)
    scenario.migrate(MIGRATION)
    _restore(scenario.database, _dumped(scenario.database, tmp_path / "dump"), "--clean", "--if-exists")
    scenario.back()
    assert database_text(scenario.database) == before


def test_a_database_made_anew_from_a_dump_is_another_system(scenario: Scenario, tmp_path: Path) -> None:
    """It has the name of the old one, and nothing else."""
    scenario.begin(SHOP).migrate(MIGRATION)
    scenario.generate()
    dump = _dumped(scenario.database, tmp_path / "dump")
    administration = replace(scenario.database, name="postgres")
    administration.run(f"drop database {scenario.database.name} with (force)")
    administration.run(f"create database {scenario.database.name}")
    _restore(scenario.database, dump)
    with pytest.raises(ConfigurationError, match="db: The connection leads to another system"):
        scenario.execute()
    assert scenario.rows("select count(*) from orders where total = 0") == [(3,)]


def test_a_table_dropped_after_the_plan_is_drift(scenario: Scenario) -> None:
    """Nothing is changed, and another plan brings it back as well."""
    scenario.begin(SHOP)
    before = database_text(scenario.database)
    scenario.migrate(MIGRATION)
    scenario.generate()
    scenario.application("drop table orders cascade")
    with pytest.raises(DriftError, match="rollbackctl generate"):
        scenario.execute()
    assert scenario.rows("select count(*) from pg_class where relname = 'orders'") == [(0,)]
    scenario.back()
    assert database_text(scenario.database) == before


def test_a_sequence_that_cannot_be_read_is_named_with_its_grant(scenario: Scenario) -> None:
    """One among many."""
    role = f"reader_{scenario.database.name}"
    scenario.database.run(
        f"{SHOP} create sequence numbers; create role {role} login; grant usage on schema public to {role}"
    )
    scenario.database.run(
        f"grant select on all tables in schema public to {role}; grant select on all sequences in schema public to {role}"
    )
    scenario.database.run(f"revoke select on sequence numbers from {role}")
    reader = replace(scenario.database, user=role)
    with pytest.raises(
        PermissionDeniedError,
        match=rf"1 of 3 sequences cannot be read: public\.numbers.*GRANT SELECT ON SEQUENCE public\.numbers TO {role}",
    ):
        Scenario(reader, scenario.store).begin("select 1")
    scenario.database.run(f"drop owned by {role}; drop role {role}")
