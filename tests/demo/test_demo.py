"""The demo itself, as ``make demo`` runs it: a process of its own, Airflow and all."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from rollback_provider.core.document import Record

WORK = Path(__file__).parents[2] / ".work" / "demo-test"
"""Kept between runs, as the demo's own is."""
DEMO = [sys.executable, "-m", "rollback_provider.demo", "--work", str(WORK)]


def left_running() -> list[str]:
    """Command lines of processes that work in the demo's directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            found.append(process.read_text("utf-8").replace("\0", " "))
    return [line for line in found if str(WORK) in line]


def test_the_demo_ends_rolled_back_with_every_write_accounted_for() -> None:
    ended = subprocess.run(DEMO, check=False, capture_output=True, text=True, timeout=570)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "ROLLED_BACK. The DAG run is failed, as it should be." in ended.stdout
    [document] = (WORK / "reports").glob("*.json")
    record = Record.model_validate(json.loads(document.read_text("utf-8")))
    assert record.execution.status == "verified"
    assert sum(bool(step.changed) for step in record.execution.steps) >= 3
    assert document.with_suffix(".html").exists()
    assert left_running() == []


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_leaves_nothing_running(stop: signal.Signals) -> None:
    process = subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout
    for line in process.stdout:
        if line.startswith("The application goes on writing"):
            break
    time.sleep(3)
    process.send_signal(stop)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Nothing is left running" in output
    assert "Traceback" not in errors
    assert left_running() == []
