"""Kind ``nginx``: servers of nginx's upstreams, in files that its configuration includes."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from difflib import unified_diff
from pathlib import Path
from shlex import join, quote
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rollback_provider.clients.disk import disk_errors
from rollback_provider.components.traffic.nginx_process import Nginx
from rollback_provider.components.traffic.nginx_text import NginxTextError, edit, resources, server_line
from rollback_provider.core.component import BlobReader, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.errors import ConfigurationError, RollbackError, StepFailedError, UnsupportedError
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.verification import Check
from rollback_provider.core.words import plural
from rollback_provider.resources import (
    Batch,
    Change,
    MovedError,
    Options,
    ResourceComponent,
    State,
    make_check,
    parse_options,
)

Absolute = Annotated[str, Field(pattern=r"^/.*[^/]$")]


class NginxOptions(Options):
    """Options of kind ``nginx``.

    :param files: files with ``upstream`` blocks that the configuration includes, as absolute paths
    :param command: program and arguments with which nginx was started: ``[nginx, -c, /etc/nginx/nginx.conf]``
    :param pid_file: where its master process writes its number
    :param reload_seconds: how long a test or a reload of the configuration may take
    """

    files: tuple[Absolute, ...] = Field(min_length=1)
    command: tuple[str, ...] = Field(default=("nginx",), min_length=1)
    pid_file: Absolute = "/run/nginx.pid"
    reload_seconds: float = Field(default=30.0, gt=0)


class NginxComponent(ResourceComponent):
    """Upstreams and their servers.

    Addresses: ``shop`` is an upstream, with its file and all directives but servers; ``shop/10.0.0.7:80`` a server, each parameter a field.
    """

    kind: ClassVar[str] = "nginx"
    section: ClassVar[Literal["infrastructure"]] = "infrastructure"
    noun: ClassVar[str] = "upstreams and servers"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._options = parse_options(spec, NginxOptions)
        self._files = [Path(file) for file in self._options.files]
        self._nginx = Nginx(
            spec.name,
            self._options.command,
            Path(self._options.pid_file),
            self._options.reload_seconds,
            self.pause,
        )

    def identity(self) -> str:
        """Names machine and files."""
        return f"nginx:{socket.gethostname()}:{','.join(sorted(self._options.files))}"

    def read(self, blobs: BlobWriter) -> State:
        """Reads the files of an nginx that runs."""
        self._nginx.workers()
        return self._state(self._texts())

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Writes all files, each as a whole, and has nginx test them; what it does not take is put back as it was."""
        texts = self._texts()
        now = self._state(texts)
        for change in changes:
            if now.get(change.address) != change.now:
                raise MovedError(f"{change.address} has been changed")
        try:
            edited = self._edited(texts, changes)
        except NginxTextError as error:
            raise StepFailedError(
                f"The files cannot be edited: {error}",
                component=self.spec.name,
                state="They are as they were",
                next_step="Correct them, then execute the same rollback again",
            ) from error
        self.stop_if_cancelled()
        self._put(edited)
        try:
            self._nginx.test()
        except RollbackError as error:
            self._put({file: texts[file] for file in edited})
            error.state = "The files are as they were before this step, and nginx goes on with what it has"
            raise
        progress.update(f"write {self.spec.name}", done=len(changes), total=len(changes), unit="changes")

    def complete(self, changes: Sequence[Change], progress: Progress) -> None:
        """Reloads. Requests that are under way end where they began."""
        self._nginx.reload()

    def command(self, change: Change) -> str:
        """What a server's line is to be."""
        upstream, _, server = change.address.partition("/")
        if server and change.target is not None:
            return f"# in upstream {upstream}: {server_line(server, change.target)}"
        return f"# {self.title(change)}"

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """One step: all files, one reload. Its script is a patch. Refuses what cannot be edited."""
        if not changes:
            return
        ordered = sorted(changes, key=_place)
        texts = self._texts()
        try:
            edited = self._edited(texts, ordered)
        except NginxTextError as error:
            raise UnsupportedError(
                str(error), component=self.spec.name, next_step="Move what others have added, then generate again"
            ) from error
        lines = []
        for file, text in edited.items():
            name = str(file)
            patch = unified_diff(texts[file].splitlines(), text.splitlines(), name, name, lineterm="")
            lines += [f"patch {quote(name)} <<'END_OF_PATCH'", *patch, "END_OF_PATCH"]
        nginx = join(self._options.command)
        lines.append(f"{nginx} -t && {nginx} -s reload")
        title = f"Restore {plural(len(changes), 'upstream or server', 'upstreams and servers')}"
        yield Batch(self.title(changes[0]) if len(changes) == 1 else title, ordered, script="\n".join(lines))

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """Who is moved: users who stick to a server by hash or address."""
        state = self._state(self._texts())
        moved = sorted({name for change in changes if _sticks(state, name := change.address.partition("/")[0])})
        notes = [
            f"{name}: users stick to servers by hash, and some get another one when servers change" for name in moved
        ]
        if changes:
            notes.append(
                "a reload ends no request: old workers finish those that they have, and new ones take the rest"
            )
        return tuple(notes)

    def checks(self, now: State) -> Iterable[Check]:
        """Nginx serves what the files say: every worker has begun after they were written."""
        with self._errors():
            old = [
                f"worker {worker} is older than {file}"
                for file in self._files
                for worker in self._nginx.older_than(file)
            ]
        yield make_check(
            self.spec.name, "loaded", "loaded", "older" if old else "loaded", old, "nginx serves what the files say"
        )

    def _texts(self) -> dict[Path, str]:
        texts = {}
        for file in self._files:
            try:
                with self._errors():
                    texts[file] = file.read_text() if file.exists() else None
            except UnicodeDecodeError:
                raise ConfigurationError(
                    f"{file} is not UTF-8", component=self.spec.name, next_step="Correct `files`"
                ) from None
        if missing := [str(file) for file, text in texts.items() if text is None]:
            raise ConfigurationError(
                f"There is no file {', '.join(missing)}", component=self.spec.name, next_step="Correct `files`"
            )
        return {file: text for file, text in texts.items() if text is not None}

    def _state(self, texts: dict[Path, str]) -> State:
        state: State = {}
        for file, text in texts.items():
            try:
                found = resources(text, str(file))
            except NginxTextError as error:
                raise UnsupportedError(
                    f"{file}: {error}",
                    component=self.spec.name,
                    next_step="Correct the file, or leave it out of `files`",
                ) from error
            if twice := state.keys() & found.keys():
                raise UnsupportedError(
                    f"{file}: {', '.join(sorted(twice))} stands in another file, too",
                    component=self.spec.name,
                    next_step="Correct `files`",
                )
            state |= found
        return state

    def _edited(self, texts: dict[Path, str], changes: Sequence[Change]) -> dict[Path, str]:
        """The files that change, as they become. Raises NginxTextError."""
        edited = dict(texts)
        state = self._state(texts)
        homes = {name: fields["file"] for name, fields in state.items() if "/" not in name}
        for change in sorted(changes, key=_place):
            name = change.address.partition("/")[0]
            if change.target is not None and name == change.address:
                homes[name] = change.target["file"]
            if name not in homes:
                continue
            file = Path(homes[name])
            edited[file] = edit(edited[file], change)
        return {file: text for file, text in edited.items() if text != texts[file]}

    def _put(self, texts: dict[Path, str]) -> None:
        for file, text in texts.items():
            with self._errors():
                place = file.resolve()  # of a site that is enabled by a link
                beside = place.with_name(f".{place.name}.new")
                beside.write_text(text)
                beside.chmod(place.stat().st_mode)
                beside.replace(place)

    def _errors(self) -> AbstractContextManager[None]:
        return disk_errors(
            self.spec.name, self._files[0], "Run the steps as a user who may write the files and reload nginx"
        )


def _place(change: Change) -> tuple[int, str]:
    """Upstreams that come, then servers, then upstreams that go."""
    if "/" in change.address:
        return 1, change.address
    return 0 if change.target is not None else 2, change.address


def _sticks(state: State, upstream: str) -> bool:
    directives = state.get(upstream, {}).get("directives", ())
    return any(each.split()[0] in {"hash", "ip_hash", "sticky"} for each in directives)
