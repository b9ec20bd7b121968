"""Kind ``release``: releases in directories of their own, and a symbolic link to the current one."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from shlex import join, quote
from tempfile import mkdtemp
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rollback_provider.clients.command import Program
from rollback_provider.clients.disk import disk_errors
from rollback_provider.clients.git import Git
from rollback_provider.core.component import BlobReader, Blobs, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.errors import ComponentUnavailableError, StepFailedError, UnsupportedError
from rollback_provider.core.model import ComponentSpec, ComponentState
from rollback_provider.resources import (
    Batch,
    Change,
    Fields,
    MovedError,
    Options,
    ResourceComponent,
    State,
    parse_options,
)

REVISION = "REVISION"
"""The file in which tools that deploy leave the commit of a release."""

Absolute = Annotated[str, Field(pattern=r"^/.*[^/]$")]


class ReleaseOptions(Options):
    """Options of kind ``release``.

    :param repository: directory of the git repository that the releases are made of, as an absolute path
    :param links: the links to the current releases, as absolute paths: ``/srv/shop/current``
    :param exclude: shell patterns of paths in a release that are no part of it: ``log/*``, ``tmp/*``
    :param reload: program and arguments that are run once the links are swapped: ``[systemctl, reload, shop]``
    :param reload_seconds: how long that may take
    """

    repository: Absolute
    links: tuple[Absolute, ...] = Field(min_length=1)
    exclude: tuple[str, ...] = ()
    reload: tuple[str, ...] = ()
    reload_seconds: float = Field(default=60.0, gt=0)


class ReleaseComponent(ResourceComponent):
    """Links to releases: where each leads, which commit that is, and a digest of what is there.

    The three make one field: a link does not go back to one release with the content of another.
    """

    kind: ClassVar[str] = "release"
    section: ClassVar[Literal["application"]] = "application"
    noun: ClassVar[str] = "releases"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._options = parse_options(spec, ReleaseOptions)
        self._git = Git(spec.name, Path(self._options.repository), self.pause)

    def identity(self) -> str:
        """Names machine and links: the same path on another worker is another link."""
        return f"release:{socket.gethostname()}:{','.join(sorted(self._options.links))}"

    def capture(self, blobs: Blobs, progress: Progress) -> ComponentState:
        """Refuses a release that its commit would not give again."""
        releases = {}
        for address, fields in self.read(blobs).items():
            release = fields["release"]
            releases[Path(address).parent / release["path"]] = release["commit"]
        for place, commit in releases.items():
            if commit is None:
                raise UnsupportedError(
                    f"{place} does not say which commit of {self._options.repository} it is",
                    component=self.spec.name,
                    next_step=f"Name it like a commit or tag, or put the commit into a file {REVISION} in it",
                )
            with self._errors(place), self._made(commit, None) as made:
                if differences := self._differences(made, place):
                    raise UnsupportedError(
                        f"{place} is not what commit {commit} gives: {', '.join(differences)}",
                        component=self.spec.name,
                        next_step="Name what is no part of the release under `exclude`, and commit the rest",
                    )
        return super().capture(blobs, progress)

    def read(self, blobs: BlobWriter) -> State:
        """Follows each link once, and reads what is there."""
        commits: dict[str, str | None] = {}
        state: State = {}
        for address in self._options.links:
            self.stop_if_cancelled()
            link = Path(address)
            with self._errors(link):
                if not link.parent.is_dir():
                    raise ComponentUnavailableError(f"There is no directory {link.parent}", component=self.spec.name)
                if (fields := self._look(link, commits)) is not None:
                    state[address] = fields
        return state

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Makes sure of each release before it swaps its link."""
        for done, change in enumerate(changes, start=1):
            self.stop_if_cancelled()
            link = Path(change.address)
            with self._errors(link):
                if self._look(link, {}) != change.now:
                    raise MovedError(f"{link} has been changed")
                if change.target is not None:
                    self._ensure(link, change.target["release"], progress)
                if _leads(link) != (change.now and change.now["release"]["path"]):
                    raise MovedError(f"{link} has been changed")
                _lead(link, None if change.target is None else change.target["release"]["path"])
            progress.update(f"swap {self.spec.name}", done=done, total=len(changes), unit="links")

    def complete(self, changes: Sequence[Change], progress: Progress) -> None:
        """Runs the command that makes the service take up its release."""
        if self._options.reload:
            program, *arguments = self._options.reload
            Program(self.spec.name, program, install="Install it, or correct `reload`").run(
                *arguments, timeout=self._options.reload_seconds, wait=self.pause
            )

    def command(self, change: Change) -> str:
        """Swaps a link by renaming, as a person would."""
        link = quote(change.address)
        if change.target is None:
            return f"rm {link}"
        release, beside = change.target["release"], quote(f"{change.address}.new")
        place = quote(str(Path(change.address).parent / release["path"]))
        repository = quote(self._options.repository)
        return (
            f"test -d {place} || {{ mkdir {place} && git -C {repository} archive {release['commit']} | tar -x -C {place}; }}\n"
            f"ln -s {quote(release['path'])} {beside} && mv -T {beside} {link}"
        )

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """One step: all links, and one reload."""
        if changes:
            lines = [self.command(change) for change in changes]
            if self._options.reload:
                lines.append(join(self._options.reload))
            title = self.title(changes[0]) if len(changes) == 1 else f"Lead {len(changes)} links back to their releases"
            yield Batch(title, changes, script="\n".join(lines))

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """Which releases have to be made again, and what does not come with them."""
        notes = []
        for change in changes:
            if change.target is None:
                notes.append(f"{change.address}: there was no release, so the link is removed")
                continue
            release = change.target["release"]
            place = Path(change.address).parent / release["path"]
            if self._digest(place) != release["digest"]:
                how = "is not what it was and is moved aside" if place.is_dir() else "is gone"
                lack = ", without what `exclude` names" if self._options.exclude else ""
                notes.append(f"{place} {how}: it is made again from commit {release['commit']}{lack}")
                if self._git.commit(release["commit"]) is None:
                    raise UnsupportedError(
                        f"{place} {how}, and commit {release['commit']} is not in {self._options.repository} any more",
                        component=self.spec.name,
                        next_step="Fetch the commit into the repository, then generate again",
                    )
        return tuple(notes)

    def _look(self, link: Path, commits: dict[str, str | None]) -> Fields | None:
        """Where a link leads.

        :param commits: by name, those that git has been asked for
        """
        if link.exists() and not link.is_symlink():
            raise UnsupportedError(f"{link} is no symbolic link", component=self.spec.name, next_step="Correct `links`")
        if (path := _leads(link)) is None:
            return None
        place = link.parent / path
        revision = place / REVISION
        name = revision.read_text(errors="replace").strip() if revision.is_file() else place.name
        if name not in commits:
            commits[name] = self._git.commit(name)
        return {"release": {"path": path, "commit": commits[name], "digest": self._digest(place)}}

    def _ensure(self, link: Path, release: Fields, progress: Progress) -> None:
        """Makes a release again where it is gone or is not what it was. What was in its place is kept beside it."""
        place = link.parent / release["path"]
        if self._digest(place) == release["digest"]:
            return
        progress.message(f"{self.spec.name}: {place} is made again from commit {release['commit']}")
        with self._made(release["commit"], place.parent) as made:
            if self._digest(made) != release["digest"]:
                raise StepFailedError(
                    f"Commit {release['commit']} does not give the release that {place} was",
                    component=self.spec.name,
                    state="No link was swapped to it",
                    next_step=f"Bring {place} back from elsewhere, then execute the same rollback again",
                )
            (made / REVISION).write_text(f"{release['commit']}\n")
            made.chmod(0o755)
            if place.exists():
                aside = mkdtemp(prefix=f"{place.name}.aside-", dir=place.parent)
                place.rename(aside)
            made.rename(place)

    @contextmanager
    def _made(self, commit: str, parent: Path | None) -> Iterator[Path]:
        """A new directory with the files of a commit; gone afterwards, unless it was renamed."""
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(prefix=".release-", dir=parent))
        try:
            self._git.export(commit, made)
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _files(self, place: Path) -> dict[str, str]:
        """What a release consists of: links, contents, and what may be run; modes beyond that are the machine's."""
        found = {}
        for folder, folders, names in os.walk(place):
            inside = Path(folder)
            for name in sorted([*names, *(each for each in folders if (inside / each).is_symlink())]):
                path = inside / name
                address = str(path.relative_to(place))
                if address != REVISION and not any(fnmatch(address, pattern) for pattern in self._options.exclude):
                    found[address] = _fingerprint(path)
        return found

    def _differences(self, one: Path, other: Path) -> list[str]:
        """A few paths that differ between two releases."""
        first, second = self._files(one), self._files(other)
        return sorted(path for path in first.keys() | second.keys() if first.get(path) != second.get(path))[:5]

    def _digest(self, place: Path) -> str | None:
        """Of all that a release consists of; None where there is no directory."""
        if not place.is_dir():
            return None
        return sha256(
            "\0".join(f"{path}\0{what}" for path, what in sorted(self._files(place).items())).encode()
        ).hexdigest()

    def _errors(self, path: Path) -> AbstractContextManager[None]:
        return disk_errors(self.spec.name, path, "Run the steps as a user who may read the releases and swap the links")


def _leads(link: Path) -> str | None:
    return str(link.readlink()) if link.is_symlink() else None


def _lead(link: Path, path: str | None) -> None:
    if path is None:
        link.unlink(missing_ok=True)
        return
    beside = link.with_name(f".{link.name}.{os.getpid()}.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(path)
    beside.replace(link)


def _fingerprint(path: Path) -> str:
    if path.is_symlink():
        return f"link {path.readlink()}"
    if not path.is_file():
        return "special"
    with path.open("rb") as file:
        digest = sha256()
        while piece := file.read(1 << 20):
            digest.update(piece)
    return f"{'program' if os.access(path, os.X_OK) else 'file'} {digest.hexdigest()}"
