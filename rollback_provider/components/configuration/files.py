"""Kind ``files``: a directory tree on the machine that runs the steps."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from fnmatch import fnmatch
from pathlib import Path
from shlex import quote
from typing import ClassVar, Literal

from pydantic import Field

from rollback_provider.clients.disk import disk_errors
from rollback_provider.core.component import BlobReader, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.errors import ComponentUnavailableError, UnsupportedError
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.words import plural
from rollback_provider.resources import (
    Batch,
    Change,
    Digests,
    Fields,
    MovedError,
    Options,
    ResourceComponent,
    State,
    parse_options,
)

LARGEST = 256 * 1024 * 1024
"""Bytes of the largest file that is captured: a file is held in memory while it is stored."""


class FilesOptions(Options):
    """Options of kind ``files``.

    :param root: the directory, as an absolute path
    :param exclude: shell patterns of paths below it that are not looked at: ``secrets/*``, ``*.pid``
    """

    root: str = Field(pattern=r"^/.*[^/]$")
    exclude: tuple[str, ...] = ()


class FilesComponent(ResourceComponent):
    """A directory tree: content and mode of each file, mode of each directory, target of each symbolic link."""

    kind: ClassVar[str] = "files"
    section: ClassVar[Literal["application"]] = "application"
    noun: ClassVar[str] = "files"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        options = parse_options(spec, FilesOptions)
        self._root = Path(options.root)
        self._exclude = options.exclude

    def identity(self) -> str:
        """Names machine and directory: the same path on another worker is another tree."""
        return f"files:{socket.gethostname()}:{self._root}"

    def read(self, blobs: BlobWriter) -> State:
        """Walks the tree. Directories have an address that ends in a slash."""
        with self._errors(self._root):
            if not self._root.is_dir():
                raise ComponentUnavailableError(f"There is no directory {self._root}", component=self.spec.name)
            return dict(self._walk(self._root, blobs))

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Writes each file beside its place and renames it, so that a reader sees the old one or the new one."""
        for done, change in enumerate(changes, start=1):
            self.stop_if_cancelled()
            path = self._root / change.address
            with self._errors(path):
                if self._look(path, Digests()) != change.now:
                    raise MovedError(f"{change.address} has been changed")
                if change.target is None:
                    _remove(path)
                else:
                    _put(path, change.target, blobs)
            progress.update(f"write {self.spec.name}", done=done, total=len(changes), unit=self.noun)

    def command(self, change: Change) -> str:
        """Copies out of the exported plan, or removes."""
        path, target = quote(str(self._root / change.address)), change.target
        if target is None:
            return f"{'rmdir' if change.address.endswith('/') else 'rm'} {path}"
        if "link" in target:
            return f"ln -sfn {quote(target['link'])} {path}"
        if "content" not in target:
            return f"install -d -m {target['mode']} {path}"
        return f"install -m {target['mode']} blobs/{target['content']} {path}"

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """One step: what has to go first, from the leaves up, then what has to come, from the root down."""
        gone = sorted((c for c in changes if c.target is None), key=lambda c: c.address, reverse=True)
        come = sorted((c for c in changes if c.target is not None), key=lambda c: c.address)
        return [Batch(f"Restore {plural(len(changes), 'file')} below {self._root}", (*gone, *come))] if changes else []

    def _walk(self, directory: Path, blobs: BlobWriter) -> Iterator[tuple[str, Fields]]:
        self.stop_if_cancelled()
        for entry in sorted(os.scandir(directory), key=lambda each: each.name):
            path = Path(entry.path)
            address = str(path.relative_to(self._root))
            if any(fnmatch(address, pattern) for pattern in self._exclude):
                continue
            with suppress(FileNotFoundError):  # gone since it was listed
                if entry.is_dir(follow_symlinks=False):
                    yield f"{address}/", {"mode": _mode(path.lstat())}
                    yield from self._walk(path, blobs)
                elif (fields := self._look(path, blobs)) is not None:
                    yield address, fields

    def _look(self, path: Path, blobs: BlobWriter) -> Fields | None:
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISLNK(found.st_mode):
            return {"link": str(path.readlink())}
        if stat.S_ISDIR(found.st_mode):
            return {"mode": _mode(found)}
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
            raise UnsupportedError(
                f"{path} is larger than {LARGEST >> 20} MiB"
                if stat.S_ISREG(found.st_mode)
                else f"{path} is neither a file, nor a directory, nor a symbolic link",
                component=self.spec.name,
                next_step="Name it under `exclude`, if it needs no rollback",
            )
        return {"content": blobs.put_blob(path.read_bytes()).digest, "mode": _mode(found)}

    def _errors(self, path: Path) -> AbstractContextManager[None]:
        return disk_errors(self.spec.name, path, "Run the steps as a user who may read and write the tree")


def _put(path: Path, target: Fields, blobs: BlobReader) -> None:
    if "link" in target:
        link = path.with_name(f".{path.name}.{os.getpid()}.new")
        link.symlink_to(target["link"])
        link.replace(path)
    elif "content" in target:
        content = blobs.get_blob(target["content"])
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
            try:
                new.write(content)
                new.flush()
                os.fchmod(new.fileno(), int(target["mode"], 8))
                os.fsync(new.fileno())
                Path(new.name).replace(path)
            except BaseException:
                Path(new.name).unlink(missing_ok=True)
                raise
    elif path.is_dir():
        path.chmod(int(target["mode"], 8))
    else:
        beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            beside.chmod(int(target["mode"], 8))
            beside.rename(path)
        except BaseException:
            beside.rmdir()
            raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):04o}"
