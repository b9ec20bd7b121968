"""What a DAG file pays for importing this package, beyond what it pays for Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from statistics import median
from tempfile import TemporaryDirectory

_PROGRAM = """
import json, time
started = time.perf_counter()
import airflow
airflow_done = time.perf_counter()
import airflow.sdk
from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator, TaskGroup, dag, task
sdk_done = time.perf_counter()
from rollback_provider.guard import rollback_guard
from rollback_provider.operators import checkpoint, execute, generate, prune, snapshot, verify
done = time.perf_counter()
print(json.dumps([airflow_done - started, sdk_done - airflow_done, done - sdk_done]))
"""


def import_costs(runs: int = 5) -> dict[str, float]:
    """Median seconds of importing Airflow, then what every DAG file needs of its SDK, then this package's operators."""
    with TemporaryDirectory() as home:
        environment = os.environ | {"AIRFLOW_HOME": home}
        parts = [
            json.loads(
                subprocess.run(
                    [sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True, env=environment
                ).stdout.splitlines()[-1]
            )
            for _ in range(runs)
        ]
    names = ("airflow", "airflow.sdk", "rollback_provider")
    return {name: round(median(values), 4) for name, values in zip(names, zip(*parts, strict=True), strict=True)}
