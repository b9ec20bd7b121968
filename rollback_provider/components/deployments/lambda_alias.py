"""Kind ``lambda_alias``: which versions of AWS Lambda functions their aliases lead to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rollback_provider.clients.aws import Aws, command_line
from rollback_provider.core.component import BlobReader, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.errors import ConfigurationError, UnsupportedError
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

_ABSENT = "ResourceNotFoundException"
_LATEST = "$LATEST"


class LambdaAliasOptions(Options):
    """Options of kind ``lambda_alias``.

    :param functions: names of the functions
    :param aliases: shell patterns of the names of aliases that are captured, such as ``live-*``
    """

    functions: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")], ...] = Field(min_length=1)
    aliases: tuple[str, ...] = Field(default=("*",), min_length=1)


class LambdaAliasComponent(ResourceComponent):
    """Aliases. An address is function and alias, as Lambda writes it: ``checkout:live``.

    Version and weights make one field: an alias does not go back to the version of one release with the weights of another.
    """

    kind: ClassVar[str] = "lambda_alias"
    section: ClassVar[Literal["application"]] = "application"
    noun: ClassVar[str] = "aliases"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._options = parse_options(spec, LambdaAliasOptions)
        self._connection = require_connection(spec)

    def identity(self) -> str:
        """Names account, region and functions."""
        return f"lambda_alias:{self._aws().place()}:{','.join(sorted(self._options.functions))}"

    def read(self, blobs: BlobWriter) -> State:
        """Lists the aliases of each function."""
        aws = self._aws()
        state: State = {}
        for function in self._options.functions:
            self.stop_if_cancelled()
            for alias in self._aliases(aws, function):
                if any(fnmatchcase(alias["Name"], pattern) for pattern in self._options.aliases):
                    state[f"{function}:{alias['Name']}"] = _fields(alias)
        return state

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Makes each change by one call, which Lambda refuses where the alias has got another revision since it was read."""
        aws = self._aws()
        for done, change in enumerate(changes, start=1):
            self.stop_if_cancelled()
            found = aws.call("get_alias", **_names(change.address), accept={_ABSENT})
            now = None if "Error" in found else _fields(found)
            if now != change.now:
                raise MovedError(f"{change.address} has been changed")
            operation, parameters = _call(change)
            if operation == "update_alias":
                parameters["RevisionId"] = found["RevisionId"]
            accept = {"create_alias": "ResourceConflictException", "update_alias": "PreconditionFailedException"}
            if "Error" in aws.call(operation, **parameters, accept={accept.get(operation, _ABSENT)}):
                raise MovedError(f"{change.address} has been changed meanwhile")
            progress.update(f"write {self.spec.name}", done=done, total=len(changes), unit=self.noun)

    def command(self, change: Change) -> str:
        """A command for the command line of AWS."""
        return command_line("lambda", *_call(change))

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """One step for all, so that functions go back together."""
        if changes:
            title = (
                self.title(changes[0]) if len(changes) == 1 else f"Restore {plural(len(changes), 'alias', 'aliases')}"
            )
            yield Batch(title, changes)

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """What an alias does not bring back. Refuses versions that were deleted."""
        aws, notes = self._aws(), []
        for change in changes:
            if change.target is None:
                continue
            self._require_versions(aws, change.address, change.target)
            if change.now is None:
                notes.append(
                    f"{change.address}: made anew, without the permissions, function URL and provisioned concurrency that it had"
                )
            if change.target["routing"]["version"] == _LATEST:
                notes.append(f"{change.address}: leads to {_LATEST} again, whose code is what it is now")
        return tuple(notes)

    def _require_versions(self, aws: Aws, address: str, target: Fields) -> None:
        function = address.partition(":")[0]
        routing = target["routing"]
        for version in (routing["version"], *routing["weights"]):
            found = aws.call("get_function_configuration", FunctionName=function, Qualifier=version, accept={_ABSENT})
            if "Error" in found:
                raise UnsupportedError(
                    f"{address} led to version {version}, which was deleted",
                    component=self.spec.name,
                    next_step="Publish its code again and point the alias there; delete old versions only when nobody wants to go back",
                )

    def _aliases(self, aws: Aws, function: str) -> Iterator[dict[str, Any]]:
        marker: dict[str, str] = {}
        while True:
            answer = aws.call("list_aliases", FunctionName=function, **marker, accept={_ABSENT})
            if "Error" in answer:
                raise ConfigurationError(
                    f"There is no function {function}", component=self.spec.name, next_step="Correct `functions`"
                )
            yield from answer["Aliases"]
            if not answer.get("NextMarker"):
                return
            marker = {"Marker": answer["NextMarker"]}

    def _aws(self) -> Aws:
        return Aws(self.spec.name, self.connections(self._connection), "lambda")


def _fields(alias: dict[str, Any]) -> Fields:
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return {
        "routing": {"version": alias["FunctionVersion"], "weights": weights},
        "description": alias.get("Description", ""),
    }


def _names(address: str) -> dict[str, Any]:
    function, _, alias = address.partition(":")
    return {"FunctionName": function, "Name": alias}


def _call(change: Change) -> tuple[str, dict[str, Any]]:
    """Operation and parameters that make a change."""
    parameters, target = _names(change.address), change.target
    if target is None:
        return "delete_alias", parameters
    parameters |= {
        "FunctionVersion": target["routing"]["version"],
        "RoutingConfig": {"AdditionalVersionWeights": target["routing"]["weights"]},
        "Description": target["description"],
    }
    return ("create_alias" if change.now is None else "update_alias"), parameters
