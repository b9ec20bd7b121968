"""Airflow for the demo: a home of its own on SQLite, connections in the environment, one run, watched."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollback_provider.core.errors import ConfigurationError


@dataclass(frozen=True)
class TaskEnd:
    """A task that has ended."""

    task_id: str
    state: str
    seconds: float


@dataclass(frozen=True)
class RunEnd:
    """A DAG run that has ended.

    :param tasks: by task id, the state in which it ended
    :param xcom: by task id and key, what its tasks pushed
    """

    run_id: str
    state: str
    tasks: Mapping[str, str]
    xcom: Mapping[tuple[str, str], Any]


class Workshop:
    """An AIRFLOW_HOME under `directory`, and the environment that its commands need.

    :param dag_id: which DAG is run
    :param connections: Airflow's connections, by id
    :param variables: what else the DAG wants in its environment
    """

    def __init__(
        self,
        directory: Path,
        dags: Path,
        dag_id: str,
        connections: Mapping[str, Mapping[str, Any]],
        variables: Mapping[str, str],
    ) -> None:
        self._dag_id = dag_id
        self.home = directory / "airflow"
        self.home.mkdir(parents=True, exist_ok=True)
        self.log = directory / "airflow.log"
        self.log.unlink(missing_ok=True)
        self.settings = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__ROLLBACK__REPORT_DIR": str(directory / "reports"),
            **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(each) for name, each in connections.items()},
            **variables,
        }
        self._database = self.home / "airflow.db"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        self._environment = inherited | self.settings | {"PYTHONUNBUFFERED": "1"}

    def prepare(self) -> None:
        """Makes the metadata database, where there is none of this version yet."""
        from importlib.metadata import version

        stamp = self.home / f"migrated-{version('apache-airflow-core')}"
        if not stamp.exists():
            with self.log.open("a") as log:
                done = subprocess.run(  # noqa: S603 - fixed program
                    self._airflow("db", "migrate"), env=self._environment, stdout=log, stderr=log, check=False
                )
            if done.returncode:
                raise ConfigurationError(f"airflow db migrate has failed; see {self.log}")
            stamp.touch()

    def run(self, on_end: Callable[[TaskEnd], None]) -> RunEnd:
        """Runs the DAG once, in a process of its own, and tells of each task as it ends.

        Raises ConfigurationError where Airflow makes no run of it, a DAG that does not import for example.
        """
        earlier = self._rows("select coalesce(max(id), 0) from dag_run", ())[0][0]
        with (
            self.log.open("a") as log,
            subprocess.Popen(  # noqa: S603 - fixed program
                self._airflow("dags", "test", self._dag_id), env=self._environment, stdout=log, stderr=log
            ) as process,
        ):
            told: set[str] = set()
            try:
                while process.poll() is None:
                    time.sleep(0.2)
                    self._tell(earlier, told, on_end)
            except BaseException:
                process.terminate()
                raise
        self._tell(earlier, told, on_end)
        runs = self._rows("select run_id, state from dag_run where dag_id = ? and id > ?", (self._dag_id, earlier))
        if not runs:
            raise ConfigurationError(f"Airflow has not run {self._dag_id}; see {self.log}")
        run_id, state = runs[0]
        pushed = self._rows(
            "select task_id, key, value from xcom where dag_id = ? and run_id = ?", (self._dag_id, run_id)
        )
        tasks = self._rows(
            "select task_id, state from task_instance where dag_id = ? and run_id = ?", (self._dag_id, run_id)
        )
        return RunEnd(run_id, state, dict(tasks), {(task_id, key): _decoded(value) for task_id, key, value in pushed})

    def _tell(self, earlier: int, told: set[str], on_end: Callable[[TaskEnd], None]) -> None:
        query = """
            select task_id, task_instance.state,
                (julianday(task_instance.end_date) - julianday(task_instance.start_date)) * 86400
            from task_instance join dag_run using (dag_id, run_id)
            where dag_id = ? and dag_run.id > ? and task_instance.end_date is not null order by task_instance.end_date
        """
        for task_id, state, seconds in self._rows(query, (self._dag_id, earlier)):
            if task_id not in told and state in {"success", "failed", "skipped", "upstream_failed"}:
                told.add(task_id)
                on_end(TaskEnd(task_id, state, seconds or 0.0))

    def _rows(self, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(query, parameters).fetchall()
        finally:
            connection.close()

    @staticmethod
    def _airflow(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "airflow", *arguments]


def _decoded(value: Any) -> Any:
    """Airflow keeps an XCom as JSON of JSON."""
    for _ in range(2):
        if isinstance(value, str | bytes):
            try:
                value = json.loads(value)
            except ValueError:
                break
    return value
