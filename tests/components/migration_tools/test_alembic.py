"""Alembic's own downgrade as the first half of a rollback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from rollback_provider.core.errors import ConfigurationError, UnsupportedError
from rollback_provider.core.repository import Store
from tests.components.migration_tools.project import BACK, DOWN, EXHAUSTIVE, FIRST, UP, Project
from tests.fix_postgres import Database

ENV = """
import os
from alembic import context
from sqlalchemy import create_engine

engine = create_engine(os.environ["DATABASE_URL"])
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
"""
PASSWORD = "correct horse / battery"  # noqa: S105  the test's server trusts everybody


def _statements(statements: Sequence[str]) -> str:
    return "\n".join(f"    op.execute({statement!r})" for statement in statements) or "    pass"


def _revision(directory: Path, name: str, after: str | None, up: Sequence[str], down: str) -> None:
    head = f"from alembic import op\nrevision, down_revision = {name!r}, {after!r}\n"
    text = f"{head}def upgrade():\n{_statements(up)}\ndef downgrade():\n{down}\n"
    (directory / "versions" / f"{name}.py").write_text(text)


@pytest.fixture
def make(
    database: Database, memory_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[Project, Config]]:
    """Makes a project whose second migration has this downgrade, at its first."""

    def make(down: str) -> tuple[Project, Config]:
        (tmp_path / "versions").mkdir()
        (tmp_path / "env.py").write_text(ENV)
        ini = tmp_path / "alembic.ini"
        ini.write_text("[alembic]\nscript_location = %(here)s\npath_separator = os\n")
        _revision(tmp_path, "first", None, FIRST, "    pass")
        _revision(tmp_path, "second", "first", UP, down)
        options = {"tool": "alembic", "url_variable": "DATABASE_URL", "url_scheme": "postgresql+psycopg"}
        project = Project(database, memory_store, tmp_path, options, {}, password=PASSWORD)
        url = f"postgresql+psycopg://{database.user}@/{database.name}?host={database.socket}"
        monkeypatch.setenv("DATABASE_URL", url)
        config = Config(str(ini))
        command.upgrade(config, "first")
        return project, config

    return make


DOWNGRADES = {"loses what columns and tables held": (_statements(DOWN), "")}
if EXHAUSTIVE:
    DOWNGRADES |= {
        "does nothing": ("    pass", ""),
        "is missing": ("    raise NotImplementedError('no way back')", "no way back"),
        "fails in the middle": (_statements([*DOWN[:4], "select 1 / 0"]), "division by zero"),
        "commits half, then fails": (
            "    with op.get_context().autocommit_block():\n"
            + "\n".join(f"        op.execute({each!r})" for each in DOWN[:4])
            + "\n    op.execute('select 1 / 0')",
            "division by zero",
        ),
    }


@pytest.mark.parametrize(("down", "failure"), DOWNGRADES.values(), ids=DOWNGRADES.keys())
def test_everything_is_back_and_the_next_upgrade_works(
    make: Callable[[str], tuple[Project, Config]], down: str, failure: str
) -> None:
    project, config = make(down)
    project.snapshot()
    command.upgrade(config, "second")
    project.checkpoint().application()
    plan = project.generate()
    assert plan.steps[0].script == f"cd {project.directory}\nalembic downgrade first"
    record = project.execute()
    assert project.orders() == BACK
    project.verify()
    assert ("has failed" in record.execution.steps[0].detail) == bool(failure)
    assert failure in record.execution.steps[0].detail
    command.upgrade(config, "head")
    assert project.database.rows("select version_num from alembic_version") == [("second",)]
    shown = [str(project.store.read(name)) for name in project.store.names("")]
    assert not [text for text in (*shown, *project.progress.messages) if PASSWORD in text or "battery" in text]


def test_several_heads_are_refused_when_it_is_planned(make: Callable[[str], tuple[Project, Config]]) -> None:
    """There is no command for that."""
    project, config = make("    pass")
    for name in ("left", "right"):
        _revision(project.directory, name, "first", [], "    pass")
    command.upgrade(config, "left")
    command.upgrade(config, "right")
    project.snapshot()
    command.upgrade(config, "second")
    project.checkpoint()
    with pytest.raises(UnsupportedError, match=r"db: Alembic goes down to one revision.*left, right"):
        project.generate()
    assert project.generate(downgrade=()).steps


def test_a_tool_that_speaks_to_another_database_is_found_when_the_snapshot_is_taken(
    make: Callable[[str], tuple[Project, Config]],
    make_database: Callable[[], Database],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project, _ = make("    pass")
    other = make_database()
    monkeypatch.setenv("DATABASE_URL", f"postgresql+psycopg://{other.user}@/{other.name}?host={other.socket}")
    del project.options["url_variable"]
    with pytest.raises(
        ConfigurationError, match=r"db: alembic says that nothing is in effect.*alembic_version .*says first"
    ):
        project.snapshot()
