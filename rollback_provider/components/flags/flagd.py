"""Kind ``flagd``: the flag file of flagd, and of OpenFeature's providers that read it themselves."""

from __future__ import annotations

import errno
import json
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar, Literal

from pydantic import Field

from rollback_provider.components.flags.flag_file import EVALUATORS, FLAGS, FlagFileError, parse, rewrite
from rollback_provider.core.component import BlobReader, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.errors import (
    ComponentUnavailableError,
    PermissionDeniedError,
    StepFailedError,
    UnsupportedError,
)
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.words import plural
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

_EVALUATOR = f"{EVALUATORS}/"
_RULE = "rule"


class FlagdOptions(Options):
    """Options of kind ``flagd``.

    :param path: the flag file, as an absolute path; YAML where it ends in ``.yaml`` or ``.yml``, otherwise JSON
    """

    path: str = Field(pattern=r"^/.*[^/]$")


class FlagdComponent(ResourceComponent):
    """The flags of a file, field by field, and the evaluators that their targeting shares.

    Addresses: ``new-checkout`` is a flag, ``$evaluators/is-staff`` a shared rule.
    """

    kind: ClassVar[str] = "flagd"
    section: ClassVar[Literal["application"]] = "application"
    noun: ClassVar[str] = "flags"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._path = Path(parse_options(spec, FlagdOptions).path)
        self._yaml = self._path.suffix in {".yaml", ".yml"}

    def identity(self) -> str:
        """Names machine and file: the same path on another worker is another file."""
        return f"flagd:{socket.gethostname()}:{self._path}"

    def read(self, blobs: BlobWriter) -> State:
        """Reads the file. Raises UnsupportedError by name for a flag that JSON cannot express."""
        return self._state(self._text())

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Makes all changes in a file beside the flag file and renames it, so that flagd sees the old flags or the new ones."""
        text = self._text()
        state = self._state(text)
        document = parse(text, is_yaml=self._yaml)
        for change in changes:
            if state.get(change.address) != change.now:
                raise MovedError(f"{change.address} has been changed")
            self._require_default(change)
            section, name = _place(change.address)
            entries = document.setdefault(section, {})
            if change.target is None:
                entries.pop(name, None)
            elif section == EVALUATORS:
                entries[name] = change.target[_RULE]
            else:
                entries[name] = _ordered(entries.get(name, {}), change.target)
        if not document.get(EVALUATORS, True):
            del document[EVALUATORS]
        self.stop_if_cancelled()
        with self._errors():
            _put(self._path.resolve(), rewrite(text, document, is_yaml=self._yaml))
        progress.update(f"write {self.spec.name}", done=len(changes), total=len(changes), unit=self.noun)

    def command(self, change: Change) -> str:
        """An edit by jq, or by yq of the same syntax; its output replaces the file."""
        section, name = _place(change.address)
        place = f".{json.dumps(section)}[{json.dumps(name)}]"
        value = (change.target or {}).get(_RULE) if section == EVALUATORS else change.target
        edit = f"del({place})" if change.target is None else f"{place} = {json.dumps(value)}"
        path, new = quote(str(self._path)), quote(f"{self._path}.new")
        return f"{'yq -y' if self._yaml else 'jq'} {quote(edit)} {path} > {new} && mv {new} {path}"

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """One step, for one file. Raises UnsupportedError for a flag whose default would not be among its variants."""
        for change in changes:
            self._require_default(change)
        return [Batch(f"Restore {plural(len(changes), 'flag')} in {self._path}", changes)] if changes else []

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """Flags that go, and when flagd sees the file."""
        notes = [
            f"{change.address}: goes; code that still asks for it gets the default of its call"
            for change in changes
            if change.target is None and not change.address.startswith(_EVALUATOR)
        ]
        if changes:
            notes.append(
                "flagd sees the file at once, a provider in file mode when it looks next; callers that cache, later"
            )
        return tuple(notes)

    def _text(self) -> str:
        with self._errors():
            try:
                return self._path.read_text("utf-8")
            except UnicodeDecodeError:
                raise self._unreadable("it is not UTF-8") from None

    def _state(self, text: str) -> State:
        try:
            document = parse(text, is_yaml=self._yaml)
        except FlagFileError as error:
            raise self._unreadable(str(error)) from None
        state: State = {}
        for name, flag in document[FLAGS].items():
            if not isinstance(flag, dict):
                raise self._unreadable(f"flag {name} is no mapping")
            state[self._known(name)] = flag
        for name, rule in document.get(EVALUATORS, {}).items():
            state[_EVALUATOR + self._known(name)] = {_RULE: rule}
        for address, fields in state.items():
            if not _is_json(fields):
                raise UnsupportedError(
                    f"{address} in {self._path} holds what JSON cannot express, such as a date or the key `on` without quotes",
                    component=self.spec.name,
                    next_step="Put it in quotes",
                )
        return state

    def _known(self, name: Any) -> str:
        if not isinstance(name, str) or name.startswith(_EVALUATOR):
            raise UnsupportedError(
                f"A flag of {self._path} has the name {name!r}", component=self.spec.name, next_step="Give it another"
            )
        return name

    def _require_default(self, change: Change) -> None:
        fields = change.target or {}
        default, variants = fields.get("defaultVariant"), fields.get("variants")
        if default is not None and isinstance(variants, dict) and default not in variants:
            raise UnsupportedError(
                f"{change.address} would be left with the default {default!r}, which is not among its variants",
                component=self.spec.name,
                next_step="Give the flag a default that stays, then generate the rollback again",
            )

    def _unreadable(self, why: str) -> ComponentUnavailableError:
        return ComponentUnavailableError(
            f"{self._path} is no flag file: {why}",
            component=self.spec.name,
            next_step="Correct the file, then try again",
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise PermissionDeniedError(
                f"No permission for {error.filename or self._path}",
                component=self.spec.name,
                next_step="Run the steps as a user who may replace the file and keep its owner",
            ) from error
        except OSError as error:
            what = f"{error.filename or self._path}: {error.strerror}"
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
                raise StepFailedError(what, component=self.spec.name) from error
            raise ComponentUnavailableError(what, component=self.spec.name) from error


def _place(address: str) -> tuple[str, str]:
    """Section and name of what an address means."""
    return (EVALUATORS, address.removeprefix(_EVALUATOR)) if address.startswith(_EVALUATOR) else (FLAGS, address)


def _ordered(now: Fields, target: Fields) -> Fields:
    """The target, its keys in the order in which the file has them."""
    return {key: target[key] for key in {**now, **target} if key in target}


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False


def _put(path: Path, text: str) -> None:
    was = path.stat()
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as new:
        try:
            new.write(text)
            new.flush()
            os.fchmod(new.fileno(), was.st_mode & 0o7777)
            if (was.st_uid, was.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(new.fileno(), was.st_uid, was.st_gid)
            os.fsync(new.fileno())
            Path(new.name).replace(path)
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise
