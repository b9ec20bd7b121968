"""A skipped test fails in continuous integration, and only there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = {
    "a test": "import pytest\n\ndef test_skips() -> None:\n    pytest.skip('no server')\n",
    "a mark": "import pytest\n\n@pytest.mark.skip(reason='no server')\ndef test_skips() -> None: ...\n",
    "a module": "import pytest\n\npytest.skip('no server', allow_module_level=True)\n",
}


def run(folder: Path, source: str, ci: str) -> subprocess.CompletedProcess[str]:
    """Runs a test file in a process of its own, with CI set as given."""
    (folder / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-p", "tests.fix_no_skips", "-p", "no:cacheprovider", "test_it.py"]
    root = str(Path(__file__).parents[1])
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"CI": ci, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("how", SKIPS)
def test_skip_fails_in_ci(how: str, tmp_path: Path) -> None:
    result = run(tmp_path, SKIPS[how], "true")
    assert result.returncode != 0
    assert "Skipped, which is not allowed in CI" in result.stdout
    assert "no server" in result.stdout


def test_skip_is_allowed_elsewhere(tmp_path: Path) -> None:
    result = run(tmp_path, SKIPS["a test"], "")
    assert result.returncode == 0
    assert "1 skipped" in result.stdout
