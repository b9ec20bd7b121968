"""Verification finds what is wrong in a database that was taken back, and names it; and nothing where nothing is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import psycopg
import pytest
from psycopg import sql

from rollback_provider.core.document import Record
from rollback_provider.core.executor import execute
from rollback_provider.core.verifier import verify
from rollback_provider.store import SnapshotStore, open_store
from tests.components.planted import APPLICATION, CLEAN, MIGRATION, ROWS, SETUP, STRUCTURE, Defect
from tests.components.scenario import Scenario
from tests.fix_postgres import Database

Trial = Callable[[str], Record]
_numbers = count(1)


@pytest.fixture(scope="module")
def trial(postgres_socket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """Verifies the shop after its rollback, with something done to it; each time in a copy, which passes for the original by its oid."""
    store: SnapshotStore = open_store((tmp_path_factory.mktemp("planted") / "store").as_uri())
    original = Database(postgres_socket, "planted")
    admin = psycopg.connect(f"host={postgres_socket} dbname=postgres user=postgres", autocommit=True)
    admin.execute("create database planted")
    scenario = Scenario(original, store).begin(SETUP).migrate(MIGRATION).application(APPLICATION)
    rollback_id = scenario.generate().rollback_id
    execute(store, rollback_id, original.resolve, scenario.progress, actor="test")
    ((oid,),) = admin.execute("select oid from pg_database where datname = 'planted'").fetchall()
    admin.execute("create database planted_copy template planted")
    admin.execute("drop database planted with (force)")

    def run(script: str) -> Record:
        name = f"planted_{next(_numbers)}"
        copy = replace(original, name=name)
        admin.execute(sql.SQL("create database {} oid {} template planted_copy").format(sql.Identifier(name), oid))
        try:
            with copy.connect() as session:
                for statement in filter(None, script.split("; ")):
                    session.execute(statement)
            return verify(store, rollback_id, lambda _: copy.connection, scenario.progress, actor="test")
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

    yield run
    admin.execute("drop database planted_copy")
    admin.execute("drop role planted_owner; drop role planted_clerk")
    admin.close()


EVERY = 1 if os.environ.get("PLANTED") == "all" else 6
"""Each sixth is enough beside all the other tests; ``make planted`` plants all."""


@pytest.mark.parametrize("defect", (STRUCTURE + ROWS)[::EVERY], ids=lambda defect: defect.what)
def test_a_planted_defect_is_named(trial: Trial, defect: Defect) -> None:
    checks = trial(defect.sql).execution.verification.checks
    found = [f"{c.status.value} {c.name} {c.scope}: {d}" for c in checks for d in (c.detail, *c.differences) if d]
    assert [line for line in found if defect.named in line], "\n".join(found)
    if defect in STRUCTURE:
        assert [line for line in found if defect.named in line and line.startswith("failed")], "\n".join(found)


@pytest.mark.parametrize("script", list(CLEAN.values())[::EVERY], ids=list(CLEAN)[::EVERY])
def test_what_is_no_defect_raises_no_alarm(trial: Trial, script: str) -> None:
    checks = trial(script).execution.verification.checks
    assert [check for check in checks if check.status.value != "passed"] == []
