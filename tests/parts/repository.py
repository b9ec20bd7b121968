"""A git repository of the test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

_ENVIRONMENT = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    **{f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(repository: Path, *arguments: str) -> str:
    """Runs git there and gives its output."""
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=_ENVIRONMENT).stdout.strip()


def make_repository(repository: Path, versions: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Makes a repository with a tag for each version of its files; gives their commits. The first version is checked out."""
    repository.mkdir(parents=True)
    git(repository, "init", "--quiet", "--template=")
    commits = {}
    for tag, files in versions.items():
        for name, text in files.items():
            path = repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if text.startswith("#!") else 0o644)
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "--allow-empty", f"--message={tag}")
        git(repository, "tag", tag)
        commits[tag] = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "--quiet", next(iter(versions)))
    return commits
