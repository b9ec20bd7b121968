"""Projects of the corpus: what they are made of, an environment for each, and their migrations as a running process."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from benchmarks.corpus.filler import Values

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Project:
    """A project whose migrations are walked.

    :param requirements: file, beside this one, of all that its environment holds: what the migrations import, exactly
    :param driver: module, beside this one, that runs the migrations, and its arguments
    :param values: by ``table.column``, values that its migrations can read where not any value of the type will do
    """

    name: str
    requirements: str
    driver: tuple[str, ...]
    values: Mapping[str, Values] = field(default_factory=dict)


class MigrationFailedError(Exception):
    """The project's own migration did not run."""


class Driver:
    """The running migrations of a project."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def call(self, do: str, **arguments: str) -> Any:
        """Runs one command and returns its result. Raises MigrationFailedError."""
        print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline() if self._process.stdout else ""
        answer = json.loads(line) if line else {"error": f"its process has ended; see {self._log}"}
        if "error" in answer:
            raise MigrationFailedError(answer["error"])
        return answer["result"]


@contextmanager
def driver(project: Project, directory: Path) -> Iterator[Driver]:
    """Starts the project's migrations in its environment below `directory`, which is made where there is none yet.

    What the migrations print goes to ``<name>.log`` beside it.
    """
    program, *arguments = project.driver
    path = directory / f"{project.name}.log"
    with (
        path.open("w") as log,
        subprocess.Popen(
            [_environment(project, directory, log), "-m", f"benchmarks.corpus.{program}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(_HERE.parents[1]), "AIRFLOW_HOME": str(directory / "airflow")},
        ) as process,
    ):
        try:
            yield Driver(process, path)
        finally:
            process.terminate()


def _environment(project: Project, directory: Path, log: IO[str]) -> Path:
    requirements = _HERE / project.requirements
    wanted = hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()
    home = directory / f"env-{project.name}-{wanted[:12]}"
    python = home / "bin" / "python"
    complete = home / "complete"
    if not complete.exists():
        venv.create(home, clear=True, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "-r", requirements],
            check=True,
            stdout=log,
            stderr=log,
        )
        complete.touch()
    return python
