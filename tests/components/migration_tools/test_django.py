"""Django's own downgrade as the first half of a rollback."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rollback_provider.core.repository import Store
from tests.components.migration_tools.project import BACK, DOWN, FIRST, UP, Project
from tests.fix_postgres import Database

MANAGE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
SETTINGS = """
import os
INSTALLED_APPS = ["stock", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"],
    "HOST": os.environ["PGHOST"], "USER": os.environ["PGUSER"], "PASSWORD": os.environ.get("PGPASSWORD", "")}}
USE_TZ = True
"""


def _migration(path: Path, needs: list[tuple[str, str]], up: Sequence[str], down: Sequence[str]) -> None:
    operation = f"migrations.RunSQL({list(up)!r}, {list(down)!r})"
    path.write_text(
        "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n"
        f"    dependencies = {needs!r}\n    operations = [{operation}]\n"
    )


def test_everything_is_back_and_the_next_upgrade_works(database: Database, memory_store: Store, tmp_path: Path) -> None:
    """Of two applications: one goes down to its first migration, the other, which needs it, to none."""
    (tmp_path / "manage.py").write_text(MANAGE)
    (tmp_path / "settings.py").write_text(SETTINGS)
    for name in ("shop", "stock"):
        (tmp_path / name / "migrations").mkdir(parents=True)
        for package in (name, f"{name}/migrations"):
            (tmp_path / package / "__init__.py").touch()
    shop = tmp_path / "shop" / "migrations"
    _migration(shop / "0001_first.py", [], FIRST, [])
    _migration(shop / "0002_second.py", [("shop", "0001_first")], UP, DOWN)
    stock = ["create table stock (id int primary key)"], ["drop table stock"]
    _migration(tmp_path / "stock" / "migrations" / "0001_first.py", [("shop", "0002_second")], *stock)
    connection = {"PGHOST": database.socket, "PGUSER": database.user, "PGDATABASE": database.name}
    project = Project(database, memory_store, tmp_path, {"tool": "django", "program": sys.executable}, connection)
    project.run(sys.executable, "manage.py", "migrate", "shop", "0001")
    project.snapshot()
    project.run(sys.executable, "manage.py", "migrate")
    project.checkpoint().application()
    plan = project.generate()
    assert [line.split("migrate --noinput ")[1] for line in plan.steps[0].script.splitlines()[1:]] == [
        "shop 0001_first",
        "stock zero",
    ]
    record = project.execute()
    assert "django is at shop.0001_first" in record.execution.steps[0].detail
    assert project.orders() == BACK
    project.verify()
    project.run(sys.executable, "manage.py", "migrate")
    assert project.database.rows("select app, name from django_migrations order by id")[1:] == [
        ("shop", "0002_second"),
        ("stock", "0001_first"),
    ]
