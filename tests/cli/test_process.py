"""The console script in a process of its own: how it starts, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE, _, FUNCTION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][
    "rollbackctl"
].partition(":")
SCRIPT = f"import sys; from {MODULE} import {FUNCTION}; sys.exit({FUNCTION}())"
"""What the console script that pip makes does."""


def rollbackctl(*words: str, before: str = "", after: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the command in a fresh interpreter."""
    code = (
        f"{before}\n{SCRIPT}"
        if not after
        else f"import sys; from {MODULE} import {FUNCTION}; code = {FUNCTION}(); {after}"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )


def test_it_imports_neither_airflow_nor_drivers(tmp_path: Path) -> None:
    listed = rollbackctl(
        "list",
        "--store",
        (tmp_path / "store").as_uri(),
        "--json",
        after="print(*sys.modules, file=sys.stderr); sys.exit(code)",
    )
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout) == {"snapshots": [], "rollbacks": [], "certificates": [], "unreadable": []}
    modules = set(listed.stderr.split())
    assert "rollback_provider.cli.commands.views" in modules
    assert not modules & {"airflow", "psycopg", "boto3", "jinja2", "jsonschema", "rich", "sqlalchemy", "yaml"}


def test_it_starts_in_less_than_a_second(tmp_path: Path) -> None:
    """Of processor time, which a busy machine does not stretch."""
    store = (tmp_path / "store").as_uri()
    rollbackctl("list", "--store", store)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert rollbackctl("list", "--store", store).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 1


def test_a_malformed_specification_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("components: [")
    refused = rollbackctl(
        "snapshot", "--migration", "m", "--components", str(path), "--store", (tmp_path / "s").as_uri()
    )
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.startswith(f"error: {path}, line 1 is not YAML")
    assert refused.stderr.count("\n") == 1


def test_usage_is_one_line() -> None:
    refused = rollbackctl("frobnicate")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: argument COMMAND: invalid choice: 'frobnicate'")
    assert refused.stderr.rstrip().endswith("See rollbackctl --help.")
    assert refused.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -c '{SCRIPT}' list --json --store {(tmp_path / 'store').as_uri()} | true"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, cwd=ROOT)  # noqa: S602 - our own
    assert ended.stderr == ""


EXECUTE = """
from rollback_provider.cli import main
from rollback_provider.components.memory import create_system, write_system
import json, pathlib
directory, store = pathlib.Path(sys.argv[1]), sys.argv[2]
create_system("s", {"t": {str(n): {"v": "a"} for n in range(5000)}})
(directory / "spec.yaml").write_text("components: [{kind: memory, name: shop, system: s}]")
def ctl(*words):
    import contextlib, io
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*words, "--store", store, "--json"]) == 0
    return json.loads(out.getvalue())
snapshot_id = ctl("snapshot", "--migration", "m", "--components", str(directory / "spec.yaml"))["snapshot_id"]
write_system("s", {"t": {str(n): {"v": "b"} for n in range(5000)}})
rollback_id = ctl("generate", snapshot_id)["rollback_id"]
print(rollback_id, file=sys.stderr, flush=True)
sys.exit(main(["execute", rollback_id, "--store", store, "--json"]))
"""


def test_a_terminal_shows_a_bar(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-c",
        f"import sys\n{EXECUTE.replace('5000', '50')}",
        str(tmp_path),
        (tmp_path / "s").as_uri(),
    ]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True, cwd=ROOT, env=environment)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # Linux says EIO at the end of a terminal
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    assert b"shop: Restore t" in shown
    assert b"rows" in shown
    assert json.loads(out)["execution"]["status"] == "executed"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_valid_journal(tmp_path: Path, number: signal.Signals, code: int) -> None:
    store = (tmp_path / "store").as_uri()
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys\n{EXECUTE}", str(tmp_path), store],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    journal = tmp_path / "store" / "rollbacks"
    deadline = time.monotonic() + 60
    while len(list(journal.glob("*/journal/*/*"))) < 20:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert json.loads(out)["error"]["type"] == "Interrupted"
    assert "Traceback" not in err
    (rollback_id,) = (path.name for path in journal.iterdir())
    shown = rollbackctl("show", rollback_id, "--store", store, "--json")
    execution = json.loads(shown.stdout)["execution"]
    assert (execution["status"], execution["attempts"]) == ("ready", 1)
    assert [step["status"] for step in execution["steps"]] == ["failed"]
    assert "Cancelled" in execution["error"]
