"""Kind ``ssm``: parameters of AWS Systems Manager's Parameter Store below a path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from shlex import quote
from typing import Any, ClassVar, Literal

from pydantic import Field

from rollback_provider.clients.aws import Aws, command_line
from rollback_provider.core.component import BlobReader, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.errors import StepFailedError, UnsupportedError
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
    require_connection,
)

_SECRET = "SecureString"  # noqa: S105  a type's name
_STANDARD_BYTES = 4096
"""Bytes of a value beyond which a parameter has to be of the advanced tier."""
_OPTIONAL = {"description": "Description", "pattern": "AllowedPattern", "key": "KeyId"}
"""Fields that a parameter may lack, and what the service calls them."""
_GONE = {"ParameterNotFound", "ParameterVersionNotFound"}


class SsmOptions(Options):
    """Options of kind ``ssm``.

    :param path: parameters below it, at any depth, are captured: ``/shop``
    :param exclude: shell patterns of whole names that are not looked at: ``/shop/cache/*``
    """

    path: str = Field(pattern=r"^/([A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*)?$")
    exclude: tuple[str, ...] = ()


class SsmComponent(ResourceComponent):
    """Parameters. An address is a whole name.

    A SecureString's value is never stored: its field ``secret`` says in which of its versions the value stands, the first that has it, and
    when that was written, so that the version of a parameter that was deleted and made anew is another.
    """

    kind: ClassVar[str] = "ssm"
    section: ClassVar[Literal["application"]] = "application"
    noun: ClassVar[str] = "parameters"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._options = parse_options(spec, SsmOptions)
        self._connection = require_connection(spec)

    def identity(self) -> str:
        """Names account, region and path."""
        return f"ssm:{self._aws().place()}:{self._options.path}"

    def read(self, blobs: BlobWriter) -> State:
        """Lists values and descriptions, and the versions of secrets."""
        return {name: fields for name, (fields, _) in self._parameters(self._aws())}

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Makes each change by one call, and looks at the version that came of it."""
        aws = self._aws()
        found = dict(self._parameters(aws))
        for change in changes:
            if found.get(change.address, (None, 0))[0] != change.now:
                raise MovedError(f"{change.address} has been changed")
        for done, change in enumerate(changes, start=1):
            self.stop_if_cancelled()
            self._write(aws, change, found.get(change.address, (None, 0))[1])
            progress.update(f"write {self.spec.name}", done=done, total=len(changes), unit=self.noun)

    def command(self, change: Change) -> str:
        """Commands for the command line of AWS. A secret's value goes from its version to the new one."""
        name, target = change.address, change.target
        delete = command_line("ssm", "delete_parameter", {"Name": name})
        if target is None:
            return delete
        options = []
        if "secret" in target:
            version = quote(f"{name}:{target['secret']['version']}")
            get = f"aws ssm get-parameter --with-decryption --name {version} --query Parameter.Value --output text"
            options = [f'--value "$({get})"']
        put = command_line("ssm", "put_parameter", _put(change), *options)
        return f"{delete}\n{put}" if _is_made_anew(change) else put

    def is_underway(self, change: Change, now: Fields | None) -> bool:
        """A parameter that gets another type is gone in between."""
        return _is_made_anew(change) if now is None else super().is_underway(change, now)

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """One step for all."""
        if changes:
            yield Batch(f"Restore {plural(len(changes), 'parameter')} below {self._options.path}", changes)

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """Secrets that go for good, and that readers ask when they like. Refuses those whose version is gone."""
        aws, notes = self._aws(), []
        for change in changes:
            name = change.address
            if change.target and "secret" in change.target and self._secret(aws, name, change.target["secret"]) is None:
                raise UnsupportedError(
                    f"The value that the secret {name} had is gone: AWS keeps no version of a parameter that was deleted, "
                    "and the last 100 of one that is there",
                    component=self.spec.name,
                    next_step="Put the secret back from where it came from, and name it under `exclude` or roll back the others alone",
                )
            if change.target is None and change.now and "secret" in change.now:
                notes.append(f"{name}: a secret that the migration has made; once removed it cannot be brought back")
        if changes:
            notes.append("applications see this when they read their parameters next")
        return tuple(notes)

    def _parameters(self, aws: Aws) -> Iterator[tuple[str, tuple[Fields, int]]]:
        """Each parameter's fields and version."""
        path = self._options.path
        below = [{"Key": "Path", "Option": "Recursive", "Values": [path]}]
        described = {
            each["Name"]: each for each in aws.items("describe_parameters", "Parameters", ParameterFilters=below)
        }
        for each in aws.items("get_parameters_by_path", "Parameters", Path=path, Recursive=True):
            self.stop_if_cancelled()
            name, more = each["Name"], described.get(each["Name"], {})
            if any(fnmatchcase(name, pattern) for pattern in self._options.exclude):
                continue
            if more.get("Policies"):
                raise UnsupportedError(
                    f"The parameter {name} has policies, by which it changes or goes by itself",
                    component=self.spec.name,
                    next_step="Name it under `exclude`",
                )
            fields = {"type": each["Type"], "data_type": each.get("DataType", "text")}
            fields |= {field: more[key] for field, key in _OPTIONAL.items() if more.get(key)}
            if each["Type"] == _SECRET:
                fields["secret"] = self._first_version(aws, name, each["Version"])
            else:
                fields["value"] = each["Value"]
            yield name, (fields, each["Version"])

    def _first_version(self, aws: Aws, name: str, version: int) -> Fields:
        """The first version of a secret with the value that this one has. Values are compared here, and go nowhere."""
        history = [*aws.items("get_parameter_history", "Parameters", Name=name, WithDecryption=True)]
        value = next((each["Value"] for each in history if each["Version"] == version), None)
        if value is None:
            raise MovedError(f"{name} has been changed")
        first = min((each for each in history if each["Value"] == value), key=lambda each: int(each["Version"]))
        return {"version": first["Version"], "written": _moment(first["LastModifiedDate"])}

    def _secret(self, aws: Aws, name: str, secret: Fields) -> str | None:
        """The value that a version of a secret holds; None where that version is not there any more."""
        found = aws.call("get_parameter", Name=f"{name}:{secret['version']}", WithDecryption=True, accept=_GONE)
        if "Error" in found or _moment(found["Parameter"]["LastModifiedDate"]) != secret["written"]:
            return None
        return str(found["Parameter"]["Value"])

    def _write(self, aws: Aws, change: Change, version: int) -> None:
        """:param version: the one that was read; 0 for none"""
        name, target = change.address, change.target
        parameters = _put(change)
        if target is not None and "secret" in target:
            value = self._secret(aws, name, target["secret"])
            if value is None:
                raise StepFailedError(
                    f"Version {target['secret']['version']} of the secret {name} is gone",
                    component=self.spec.name,
                    next_step="Put the secret back from where it came from, then generate a new rollback",
                )
            parameters["Value"] = value
        if target is None or _is_made_anew(change):
            aws.call("delete_parameter", Name=name, accept=_GONE)
            version = 0
        if target is not None:
            made = aws.call("put_parameter", **parameters, accept={"ParameterAlreadyExists"})
            if "Error" in made:
                raise MovedError(f"{name} has been made meanwhile")
            if made["Version"] != version + 1:
                self._give_back(aws, name, made["Version"])
                raise MovedError(f"{name} has been changed meanwhile")

    def _give_back(self, aws: Aws, name: str, version: int) -> None:
        """Somebody was faster, and this version is on top of theirs: theirs is put on top again, or removed again."""
        if version == 1:
            aws.call("delete_parameter", Name=name, accept=_GONE)
            return
        history = aws.items("get_parameter_history", "Parameters", Name=name, WithDecryption=True)
        theirs = next(each for each in history if each["Version"] == version - 1)
        given = {key: theirs[key] for key in ("Type", "Value", "DataType", *_OPTIONAL.values()) if theirs.get(key)}
        aws.call("put_parameter", Name=name, Overwrite=True, **given)

    def _aws(self) -> Aws:
        return Aws(self.spec.name, self.connections(self._connection), "ssm")


def _is_made_anew(change: Change) -> bool:
    """Whether a parameter gets another type, which AWS allows to new ones alone."""
    return bool(change.now and change.target and change.now["type"] != change.target["type"])


def _put(change: Change) -> dict[str, Any]:
    """What makes a parameter what it is to be, but for a secret's value."""
    now, target = change.now or {}, change.target or {}
    fresh = not now or _is_made_anew(change)
    parameters: dict[str, Any] = {"Name": change.address, "Type": target.get("type"), "Overwrite": not fresh}
    parameters["DataType"] = target.get("data_type")
    for field, key in _OPTIONAL.items():
        if field in target or (field in now and not fresh):
            parameters[key] = target.get(field, "")
    if "value" in target:
        parameters["Value"] = target["value"]
        if len(target["value"].encode()) > _STANDARD_BYTES:
            parameters["Tier"] = "Advanced"
    return parameters


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).isoformat()
