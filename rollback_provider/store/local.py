"""Durable, create-only files.

A file is written under a temporary name, flushed to the disk, and only then linked to its own name, which fails if the
name is taken: a name never holds less than the whole content, after a killed process and after a power cut. Temporary
names end in ``#`` and digits, the form that obstore leaves out of listings.
"""

from __future__ import annotations

import os
import re
import secrets
from datetime import datetime
from pathlib import Path

_UNFINISHED = re.compile(r"#\d+")
_ATTEMPTS = 20


def create(root: Path, name: str, data: bytes) -> None:
    """Writes `data` to a new file and waits until it is on the disk. Raises FileExistsError and other OSErrors."""
    path = root / name
    temporary = path.with_name(f"{path.name}#{secrets.randbelow(10**18)}")
    try:
        with os.fdopen(_open_new(root, temporary), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def touch(root: Path, name: str) -> None:
    """Sets the file's time to now."""
    os.utime(root / name)


def remove(root: Path, name: str) -> None:
    """Removes a file, durably, and the folders that it leaves empty; no error where there is no such file."""
    path = root / name
    try:
        path.unlink()
    except FileNotFoundError:
        return
    _sync(path.parent)
    for folder in path.parents:
        if folder == root:
            return
        try:
            folder.rmdir()
        except OSError:
            return


def remove_unfinished(root: Path, before: datetime) -> int:
    """Removes temporary files last written before this time; says how many."""
    count = 0
    for path in root.rglob("*#*"):
        if _UNFINISHED.fullmatch(path.name[path.name.rindex("#") :]) and path.stat().st_mtime < before.timestamp():
            path.unlink(missing_ok=True)
            count += 1
    return count


def _open_new(root: Path, path: Path) -> int:
    """A descriptor of a new file, whose folder is made durable where it was missing.

    Several attempts, because :func:`remove` may take a folder away while it is empty.
    """
    for _ in range(_ATTEMPTS):
        _make_folder(root, path.parent)
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            continue
    raise FileNotFoundError(2, "the folder vanished each time it was made", str(path.parent))


def _make_folder(root: Path, folder: Path) -> None:
    missing = []
    while folder != root and not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        try:
            each.mkdir(exist_ok=True)
            _sync(each.parent)
        except FileNotFoundError:
            return


def _sync(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
