"""The package as it is installed: entry points, files, what importing it costs, and whether its documents agree."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points, requires, version
from pathlib import Path
from typing import Any

import pytest

import rollback_provider

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCK = (ROOT / "requirements.lock").read_text("utf-8")


def normal(requirement: str) -> str:
    """The name of a requirement as package indexes spell it."""
    name = re.match(r"[\w.-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def imported_by(*modules: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after importing these modules."""
    script = f"import {', '.join(modules)}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_installed_version_is_the_package_s() -> None:
    assert version("airflow-provider-rollback") == rollback_provider.__version__


@pytest.mark.parametrize(
    ("group", "name"), [("apache_airflow_provider", "provider_info"), ("console_scripts", "rollbackctl")]
)
def test_entry_point_can_be_called(group: str, name: str) -> None:
    points = [point for point in entry_points(group=group, name=name) if point.value.startswith("rollback_provider")]
    assert len({point.value for point in points}) == 1
    assert callable(points[0].load())


def test_provider_info_is_what_airflow_accepts() -> None:
    import airflow
    from jsonschema import Draft7Validator

    from rollback_provider.get_provider_info import get_provider_info

    info = get_provider_info()
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text("utf-8"))
    Draft7Validator(schema).validate(info)
    assert info["package-name"] == PROJECT["project"]["name"]


def test_modules_that_provider_info_names_exist() -> None:
    from importlib.util import find_spec

    from rollback_provider.get_provider_info import get_provider_info

    info = get_provider_info()
    named = [
        module
        for kind in ("operators", "sensors", "triggers", "hooks")
        for group in info[kind]
        for module in group["python-modules"]
    ]
    named += [kind["hook-class-name"].rpartition(".")[0] for kind in info["connection-types"]]
    assert named
    assert [module for module in named if find_spec(module) is None] == []


def test_importing_the_package_costs_nothing() -> None:
    third_party = {"airflow", "pydantic", "psycopg", "obstore", "rich", "jinja2", "sqlalchemy", "boto3"}
    assert imported_by("rollback_provider").isdisjoint(third_party)


def test_command_line_starts_without_airflow_and_clients() -> None:
    heavy = {"airflow", "boto3", "botocore", "great_expectations", "numpy", "pandas", "sqlalchemy", "jsonschema"}
    assert imported_by("rollback_provider.cli").isdisjoint(heavy)


def test_operators_import_no_client() -> None:
    heavy = {"boto3", "great_expectations", "numpy", "pandas", "psycopg", "obstore"}
    names = [f"rollback_provider.operators.{name}" for name in ("snapshot", "generate", "execute", "verify", "prune")]
    assert imported_by(*names, "rollback_provider.guard", "rollback_provider.sensors").isdisjoint(
        heavy - imported_by("airflow.sdk", "airflow.providers.common.compat.sdk")
    )


def test_wheel_holds_all_that_is_read_at_run_time(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        points = archive.read(next(name for name in held if name.endswith("entry_points.txt"))).decode()
    folder = ROOT / "rollback_provider"
    files = {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {str(path.relative_to(ROOT)) for path in files} <= held
    assert "[apache_airflow_provider]" in points
    assert "airflow.plugins" not in points
    assert not [name for name in held if name.startswith(("tests/", "dags/", "docs/"))]


def test_lock_names_no_place_and_has_a_hash_for_everything() -> None:
    assert not re.search(r"https?:|file:|--index|--find-links|@ ", LOCK)
    pins = re.findall(r"(?m)^([\w.\[\]-]+)==\S+.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)*", LOCK)
    assert pins
    assert len(re.findall(r"(?m)^[\w.-]+==.*\\\n    --hash=sha256:", LOCK)) == len(pins)


def test_lock_holds_every_dependency() -> None:
    locked = set(re.findall(r"(?m)^([\w.-]+)==", LOCK))
    groups = PROJECT["dependency-groups"].values()
    asked = {normal(entry) for group in groups for entry in group if isinstance(entry, str)}
    asked |= {normal(entry) for entry in requires("airflow-provider-rollback") or []}
    assert asked - locked - {"airflow-provider-rollback"} == set()


def test_every_extra_of_a_component_is_named_like_its_kind() -> None:
    from rollback_provider.core.registry import BUILT_IN

    assert set(BUILT_IN) - {"memory"} <= set(PROJECT["project"]["optional-dependencies"])


def test_readme_shows_the_documented_dag() -> None:
    shown = re.findall(r"(?s)```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"))[0]
    documented = (ROOT / "docs/examples/guarded_migration.py").read_text("utf-8")
    assert shown.strip() in documented


def test_every_command_and_option_is_documented() -> None:
    from rollback_provider.cli.arguments import COMMANDS

    page = (ROOT / "docs/reference/cli.md").read_text("utf-8")
    flags = {
        flag for command in COMMANDS for argument in command.arguments for flag in argument.flags if flag[0] == "-"
    }
    assert [flag for flag in sorted(flags) if not re.search(rf"(?<![\w-]){flag}(?![\w-])", page)] == []
    assert [command.name for command in COMMANDS if f"| `{command.name}" not in page] == []


def test_exit_codes_are_documented_word_by_word() -> None:
    from rollback_provider.cli import exits

    page = (ROOT / "docs/exit-codes.md").read_text("utf-8")
    codes = re.findall(r"(?m)^(\d+) +(.+)$", exits.__doc__ or "")
    assert len(codes) > 10
    assert [code for code, meaning in codes if f"| {code} | {meaning} |" not in page] == []


def test_every_error_has_its_line_in_the_runbook() -> None:
    from rollback_provider.core import errors

    page = (ROOT / "docs/runbook.md").read_text("utf-8")
    groups = {"RollbackError", "StoreError", "ComponentError"}
    names = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert [name for name in sorted(names - groups) if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md"])
def test_links_to_files_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    targets = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [target for target in targets if target and not (ROOT / target).exists()] == []
