"""Temporary files are kept in memory where there is room: CREATE DATABASE takes 200 ms on a slow disk, and 12 ms there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108  its entries are directories of random names, as in any TMPDIR
_ROOM = 8 * 1024**3
"""Free bytes: the servers of all versions, for each worker, and what the tests of a run leave."""

if "TMPDIR" not in os.environ and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM:
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)
