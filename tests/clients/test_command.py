"""Programs end when they should, and their failures are told."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from rollback_provider.clients.command import Program
from rollback_provider.core.errors import ConfigurationError, StepFailedError

PYTHON = Program("site", sys.executable)


def test_output_and_surroundings(tmp_path: Path) -> None:
    program = Program("site", sys.executable, cwd=tmp_path, environment={"GREETING": "hello", "HOME": None})
    code = "import os, sys; print(os.environ['GREETING'], os.getcwd(), 'HOME' in os.environ); sys.exit(2)"
    completed = program.run("-c", code, timeout=10, accept=(0, 2))
    assert (completed.code, completed.output) == (2, f"hello {tmp_path} False\n")


def test_arguments_see_no_shell() -> None:
    assert PYTHON.run("-c", "import sys; print(sys.argv[1])", "$HOME; `id`", timeout=10).output == "$HOME; `id`\n"


def test_what_is_no_text_is_shown() -> None:
    code = r"import sys; sys.stdout.buffer.write(b'caf\xe9')"
    assert PYTHON.run("-c", code, timeout=10).output == r"caf\xe9"


def test_a_failure_tells_what_was_said_and_no_secret() -> None:
    program = Program("site", sys.executable, secrets=("hunter2",))
    with pytest.raises(StepFailedError, match=r"site: python.* failed with exit code 1: .*token \*\*\* refused"):
        program.run("-c", "import sys; sys.exit('token hunter2 refused')", timeout=10)


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match=r"'no-such-program' is not installed.*Install it"):
        Program("site", "no-such-program", install="Install it").run(timeout=10)
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        Program("site", sys.executable, cwd=Path("/no/such/directory")).run(timeout=10)


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(StepFailedError, match="took longer than 1 seconds"):
        PYTHON.run("-c", _hanging(tmp_path), timeout=1)
    assert not _alive(tmp_path)


def test_cancelling_ends_a_program_with_its_children(tmp_path: Path) -> None:
    class CancelledError(Exception):
        pass

    def wait(seconds: float) -> None:
        if (tmp_path / "pid").exists():
            raise CancelledError

    with pytest.raises(CancelledError):
        PYTHON.run("-c", _hanging(tmp_path), timeout=60, wait=wait)
    assert not _alive(tmp_path)


def _hanging(directory: Path) -> str:
    return (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(directory / 'new')!r}, 'w').write(str(child.pid))\n"
        f"os.rename({str(directory / 'new')!r}, {str(directory / 'pid')!r})\n"
        "time.sleep(60)\n"
    )


def _alive(directory: Path) -> bool:
    """Whether the child runs; a zombie that nobody has reaped does not."""
    pid = int((directory / "pid").read_text())
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if ") Z " in Path(f"/proc/{pid}/stat").read_text():
                return False
        except (ProcessLookupError, FileNotFoundError):
            return False
        time.sleep(0.02)
    return True
