"""Runs commands and measures seconds and the memory of the whole process tree."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_INTERVAL = 0.05


@dataclass(frozen=True)
class Measured:
    """What one operation took.

    :param peak: bytes of memory of the process and its children, shared pages counted once; the server's are not in it
    :param made: id or status that the operation printed
    """

    seconds: float
    peak: int = 0
    made: str = ""


class MeasurementError(Exception):
    """A measured command has failed."""


def run_command(command: Sequence[str | Path]) -> Measured:
    """Times a command. Raises MeasurementError."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, peak = _watch(process)
    if process.returncode:
        raise MeasurementError(f"{Path(command[0]).name} has failed:\n{output}")
    return Measured(time.perf_counter() - started, peak)


def run_job(name: str, store: str, socket: str, argument: str) -> Measured:
    """Runs one operation of :mod:`benchmarks.job`. Raises MeasurementError."""
    command = [sys.executable, "-m", "benchmarks.job", name, store, socket, argument]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, peak = _watch(process)
    if process.returncode:
        raise MeasurementError(f"{name} has failed:\n{output}")
    result = json.loads(output.splitlines()[-1])
    return Measured(result["seconds"], peak, result["made"])


def directory_bytes(path: Path) -> int:
    """Size of all files below `path`."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _watch(process: subprocess.Popen[str]) -> tuple[str, int]:
    """What the process printed (errors, if it failed), and its peak memory."""
    peak = 0
    over = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not over.wait(_INTERVAL):
            peak = max(peak, _memory(process.pid))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        output, errors = process.communicate()
    finally:
        over.set()
        thread.join()
    return (errors or output) if process.returncode else output, peak


def _memory(pid: int) -> int:
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            total += process.memory_full_info().pss
    except psutil.Error:
        pass  # it has ended between two looks
    return total
