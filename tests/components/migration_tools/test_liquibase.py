"""Liquibase's own rollback as the first half of a rollback."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from time import sleep

import pytest

from rollback_provider.core.component import Component, Connection
from rollback_provider.core.errors import ConfigurationError, RollbackError, UnsupportedError
from rollback_provider.core.executor import execute
from rollback_provider.core.repository import Store
from tests.components.migration_tools.project import BACK, DOWN, EXHAUSTIVE, FIRST, UP, Project
from tests.contract.faults import Fuse, FusedProgress
from tests.fix_postgres import Database
from tests.parts.forwarder import Forwarder

WORK = Path(__file__).parents[3] / ".work"
HOME = WORK / "npm" / "node_modules" / "liquibase" / "dist" / "liquibase"
LIQUIBASE = str(HOME / "liquibase")
NEEDED = ("commons-", "liquibase-core", "opencsv", "picocli", "postgresql", "snakeyaml")
"""Of its libraries: the drivers of other databases take longer to load than all that Liquibase does here."""
JAVA = WORK / "debian" / "usr" / "lib" / "jvm" / "default-java"
"""Where one is installed already, it is not unpacked."""
PROPERTIES = """
changelogFile: changelog.sql
url: jdbc:postgresql://127.0.0.1:1/another
username: nobody
"""
HEAD = "--liquibase formatted sql\n"
PASSWORD = "correct horse / battery"  # noqa: S105  the test's server trusts everybody


@dataclass(frozen=True)
class Reached(Database):
    """A database that is reached by TCP, as Liquibase needs it."""

    port: int = 0

    @property
    def connection(self) -> Connection:
        """By address."""
        return replace(super().connection, host="127.0.0.1", port=self.port)


def _changeset(name: str, up: Sequence[str], down: Sequence[str] | None, options: str = "") -> str:
    back = [] if down is None else [f"--rollback {each};" for each in down or ["select 1"]]
    return "\n".join([f"--changeset ann:{name} {options}", *(f"{each};" for each in up), *back]) + "\n"


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """Liquibase with what it needs, and a Java that starts soon."""
    libraries = tmp_path / "liquibase" / "internal" / "lib"
    libraries.mkdir(parents=True)
    for library in (HOME / "internal" / "lib").iterdir():
        if library.name.startswith(NEEDED):
            (libraries / library.name).symlink_to(library)
    java = {"JAVA_HOME": str(JAVA)} if JAVA.exists() else {}
    options = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    return {"LIQUIBASE_HOME": str(tmp_path / "liquibase"), "JAVA_OPTS": options, **java}


@pytest.fixture
def project(database: Database, memory_store: Store, tmp_path: Path, surroundings: dict[str, str]) -> Iterator[Project]:
    """A project at its first changeset, with the snapshot."""
    way = Forwarder(f"{database.socket}/.s.PGSQL.5432")
    reached = Reached(database.socket, database.name, port=way.port)
    (tmp_path / "liquibase.properties").write_text(PROPERTIES)
    (tmp_path / "changelog.sql").write_text(HEAD + _changeset("1", FIRST, None))
    url = f"jdbc:postgresql://127.0.0.1:{way.port}/{database.name}"
    environment = {"LIQUIBASE_COMMAND_URL": url, "LIQUIBASE_COMMAND_USERNAME": database.user, **surroundings}
    options = {"tool": "liquibase", "program": LIQUIBASE, "environment": surroundings}
    project = Project(reached, memory_store, tmp_path, options, environment, password=PASSWORD)
    project.run(LIQUIBASE, "update")
    yield project.snapshot()
    way.close()


def _migrate(project: Project, *changesets: str) -> Project:
    with (project.directory / "changelog.sql").open("a") as file:
        file.writelines(changesets)
    project.run(LIQUIBASE, "update")
    return project.checkpoint()


DOWNGRADES: dict[str, tuple[Sequence[str] | None, str, str]] = {
    "fails in the middle": ([*DOWN[:4], "select 1 / 0"], "", "division by zero")
}
if EXHAUSTIVE:
    DOWNGRADES |= {
        "loses what columns and tables held": (DOWN, "", ""),
        "does nothing": ([], "", ""),
        "is missing": (None, "", "does not support automatic rollback"),
        "commits half, then fails": ([*DOWN[:4], "select 1 / 0"], "runInTransaction:false", "division by zero"),
    }


@pytest.mark.parametrize(("down", "options", "failure"), DOWNGRADES.values(), ids=DOWNGRADES.keys())
def test_everything_is_back_and_the_next_update_works(
    project: Project, down: Sequence[str] | None, options: str, failure: str
) -> None:
    """Two changesets go; the connection is the component's, whatever the project's properties say."""
    stock = _changeset("3", ["create table stock (id int primary key)"], ["drop table stock"])
    _migrate(project, _changeset("2", UP, down, options), stock).application()
    plan = project.generate()
    assert plan.steps[0].script == f"cd {project.directory}\n{LIQUIBASE} rollback-count 2"
    record = project.execute()
    assert project.orders() == BACK
    project.verify()
    assert ("has failed" in record.execution.steps[0].detail) == bool(failure)
    assert failure in record.execution.steps[0].detail
    project.run(LIQUIBASE, "update")
    ran = project.database.rows("select id from databasechangelog order by orderexecuted")
    assert ran == [("1",), ("2",), ("3",)]
    shown = [str(project.store.read(name)) for name in project.store.names("")]
    assert not [text for text in (*shown, *project.progress.messages) if PASSWORD in text or "battery" in text]


def test_a_connection_by_socket_is_refused_when_the_snapshot_is_taken(
    database: Database, memory_store: Store, tmp_path: Path
) -> None:
    """Liquibase's driver knows none."""
    project = Project(database, memory_store, tmp_path, {"tool": "liquibase"}, {})
    with pytest.raises(ConfigurationError, match=r"db: Liquibase reaches a database by TCP alone.*names the socket /"):
        project.snapshot()


if EXHAUSTIVE:

    def test_a_wrong_directory_is_found_when_the_snapshot_is_taken(project: Project, tmp_path: Path) -> None:
        """Without a changelog, or with another one."""
        elsewhere = tmp_path / "liquibase"
        project.options["directory"] = str(elsewhere)
        (elsewhere / "liquibase.properties").write_text(PROPERTIES)
        with pytest.raises(RollbackError, match=r"db: Where the migrations stand cannot be told.*Make this work, in /"):
            project.snapshot()
        (elsewhere / "changelog.sql").write_text(HEAD + _changeset("other", FIRST, None))
        with pytest.raises(ConfigurationError, match=r"liquibase says that nothing is in effect.*::1::ann"):
            project.snapshot()

    def test_a_changeset_that_was_run_anew_is_refused_when_it_is_planned(project: Project) -> None:
        """It is the newest one then, and the count would take it back, too."""
        changelog = project.directory / "changelog.sql"
        first, view = changelog.read_text(), "create or replace view v as select 1"
        changelog.write_text(first + _changeset("view", [view], ["drop view v"], "runOnChange:true"))
        project.run(LIQUIBASE, "update")
        project.snapshot()
        changelog.write_text(first + _changeset("2", UP, DOWN))
        _migrate(project, _changeset("view", [f"{view} where true"], ["drop view v"], "runOnChange:true"))
        with pytest.raises(UnsupportedError, match=r"db: Liquibase takes back the newest changeset first"):
            project.generate()
        assert project.generate(downgrade=()).steps

    def test_paths_of_older_versions_are_known(project: Project) -> None:
        """They are shown in today's form."""
        for path in ("classpath:changelog.sql", "classpath:/changelog.sql", "./changelog.sql", "/changelog.sql"):
            project.database.run(f"update databasechangelog set filename = '{path}'")
            project.snapshot()

    def test_a_rollback_that_is_killed_half_way_leaves_no_lock(project: Project) -> None:
        """Its worker is cancelled while it runs."""
        _migrate(project, _changeset("2", UP, [*DOWN, "select pg_sleep(60)"], "runInTransaction:false")).application()
        plan = project.generate()
        running: list[Component] = []

        class Cancelling(FusedProgress):
            def message(self, text: str) -> None:
                if "rollback-count" in text:
                    Thread(target=cancel_asleep).start()

        def cancel_asleep() -> None:
            while not project.database.rows(
                "select from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()"
            ):
                sleep(0.1)
            running[0].cancel()

        with pytest.raises(RollbackError, match="db: Cancelled while liquibase ran"):
            execute(
                project.store, plan.rollback_id, project.resolve, Cancelling(Fuse()), actor="test", watch=running.append
            )
        assert project.database.rows("select locked from databasechangeloglock") == [(True,)]
        project.execute()
        assert project.orders() == BACK
        project.verify()
        assert project.database.rows("select locked from databasechangeloglock") == [(False,)]
        project.run(LIQUIBASE, "update")
