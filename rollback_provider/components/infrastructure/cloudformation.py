"""Kind ``cloudformation``: templates and parameters of stacks of AWS CloudFormation, taken back by change sets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal
from uuid import uuid4

from pydantic import Field

from rollback_provider.clients.aws import Aws, command_line
from rollback_provider.core.component import BlobReader, Blobs, BlobWriter, ConnectionResolver, Notes, Progress
from rollback_provider.core.errors import BusyError, ConfigurationError, StepFailedError, UnsupportedError
from rollback_provider.core.model import ComponentSpec, Step, StepOutcome
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
    require_connection,
)

_LOOK = 5.0
"""Seconds between two looks at a change set or a stack."""
_TEMPLATE_BYTES = 51_200
"""Bytes of a template that a call may hold; AWS takes larger ones from S3 alone."""
_PARAMETER = "parameter "
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
"""Acknowledged, since the stack has had this template before."""
_CURRENT = {
    "CREATE_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
}
"""States in which a stack is what its template says, and can be updated."""


class CloudformationOptions(Options):
    """Options of kind ``cloudformation``.

    :param stacks: names of the stacks, in the order in which the migration updates them; they go back in the reverse order
    :param stack_seconds: how long to wait for an update of a stack
    """

    stacks: tuple[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,127}$")], ...] = Field(min_length=1)
    stack_seconds: float = Field(default=3600.0, ge=0)


class CloudformationComponent(ResourceComponent):
    """Stacks. An address is a stack's name; its template is one field, each of its parameters another.

    A parameter whose value AWS does not show (``NoEcho``) is None, and keeps the value that it has.
    """

    kind: ClassVar[str] = "cloudformation"
    section: ClassVar[Literal["infrastructure"]] = "infrastructure"
    noun: ClassVar[str] = "stacks"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._options = parse_options(spec, CloudformationOptions)
        self._connection = require_connection(spec)

    def identity(self) -> str:
        """Names account, region and stacks."""
        return f"cloudformation:{self._aws().place()}:{','.join(sorted(self._options.stacks))}"

    def read(self, blobs: BlobWriter) -> State:
        """Asks for template and parameters of each stack. Raises BusyError where one is being updated."""
        aws = self._aws()
        state: State = {}
        for name in self._options.stacks:
            self.stop_if_cancelled()
            state[name] = self._look(aws, name, blobs)
        return state

    def apply(self, step: Step, blobs: Blobs, notes: Notes, progress: Progress) -> StepOutcome:
        """Waits first for an update that an earlier attempt may have begun."""
        for name in step.payload["addresses"]:
            self._settle(self._aws(), name, progress)
        return super().apply(step, blobs, notes, progress)

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Makes a change set for each stack, executes it, and waits until the stack is updated."""
        aws = self._aws()
        for done, change in enumerate(changes, start=1):
            self._change(aws, change, blobs, progress)
            progress.update(f"write {self.spec.name}", done=done, total=len(changes), unit=self.noun)

    def command(self, change: Change) -> str:
        """Commands for the command line of AWS; a template is a file of the snapshot."""
        target = change.target or {}
        where = ["--stack-name", change.address, "--change-set-name", "rollback"]
        template = ["--template-body", f"file://blobs/{target['template']}"]
        parameters = {"ChangeSetType": "UPDATE", "Capabilities": _CAPABILITIES, "Parameters": _parameters(target)}
        return "\n".join(
            [
                command_line("cloudformation", "create_change_set", parameters, *where, *template),
                command_line("cloudformation", "wait change_set_create_complete", {}, *where),
                command_line("cloudformation", "describe_change_set", {}, *where),
                command_line("cloudformation", "execute_change_set", {}, *where),
                command_line("cloudformation", "wait stack_update_complete", {}, *where[:2]),
            ]
        )

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """A step for each stack, in the reverse of the order in which the migration updates them. Refuses what AWS would not take."""
        by_name = {change.address: change for change in changes}
        for name in reversed(self._options.stacks):
            if name in by_name:
                change = by_name[name]
                self._require_possible(change, blobs)
                yield Batch(self.title(change), [change])

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """What cannot be known before the change set is made, and parameters that do not go back."""
        notes = []
        for change in changes:
            kept = [field.removeprefix(_PARAMETER) for field, value in (change.target or {}).items() if value is None]
            if kept:
                notes.append(
                    f"{change.address}: {', '.join(kept)} keeps the value that it has now, since AWS does not show it"
                )
        if changes:
            notes.append(
                "what AWS replaces or removes is in the change set, and told in the log before that is executed"
            )
        return tuple(notes)

    def _look(self, aws: Aws, name: str, blobs: BlobWriter) -> Fields:
        stack = self._stack(aws, name)
        status = stack["StackStatus"]
        if status.endswith("_IN_PROGRESS"):
            raise BusyError(
                f"Stack {name} is {status}", component=self.spec.name, next_step="Try again when its update is over"
            )
        if status not in _CURRENT:
            raise UnsupportedError(
                f"Stack {name} is {status} and cannot be updated",
                component=self.spec.name,
                next_step="Continue the rollback of its failed update (continue-update-rollback), or make the stack anew",
            )
        template = aws.call("get_template", StackName=name, TemplateStage="Original")["TemplateBody"]
        text = template if isinstance(template, str) else json.dumps(template, indent=2)
        summary = aws.call("get_template_summary", StackName=name)
        hidden = {each["ParameterKey"]: each.get("NoEcho", False) for each in summary.get("Parameters", ())}
        fields: Fields = {"template": blobs.put_blob(text.encode()).digest}
        given = {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", ())}
        for key in given.keys() & hidden.keys():
            fields[f"{_PARAMETER}{key}"] = None if hidden[key] else given[key]
        return fields

    def _change(self, aws: Aws, change: Change, blobs: BlobReader, progress: Progress) -> None:
        name, now, target = change.address, change.now or {}, change.target or {}
        template: dict[str, Any] = {"TemplateBody": blobs.get_blob(target["template"]).decode()}
        if target["template"] == now.get("template"):
            template = {"UsePreviousTemplate": True}
        made = aws.call(
            "create_change_set",
            StackName=name,
            ChangeSetName=f"rollback-{uuid4().hex}",
            ChangeSetType="UPDATE",
            Capabilities=_CAPABILITIES,
            Parameters=_parameters(target),
            **template,
        )["Id"]
        self._await_change_set(aws, name, made, progress)
        if self._look(aws, name, Digests()) != change.now:
            raise MovedError(f"{name} has been changed")
        self.stop_if_cancelled()
        if "Error" in aws.call("execute_change_set", ChangeSetName=made, accept={"InvalidChangeSetStatus"}):
            raise MovedError(f"{name} has been updated since its change set was made")
        stack = self._settle(aws, name, progress)
        if stack["StackStatus"] != "UPDATE_COMPLETE":
            raise StepFailedError(
                f"Stack {name} is {stack['StackStatus']}: {stack.get('StackStatusReason', 'no reason given')}",
                component=self.spec.name,
                state="AWS has taken its resources back to what the migration made of them, as far as it could",
                next_step="Look at the stack's events, then execute the same rollback again",
            )

    def _await_change_set(self, aws: Aws, name: str, made: str, progress: Progress) -> None:
        """Raises StepFailedError where AWS cannot make it."""
        while (found := aws.call("describe_change_set", ChangeSetName=made))["Status"] not in {
            "CREATE_COMPLETE",
            "FAILED",
        }:
            progress.update(f"wait for the change set of {name}", done=0, total=1, unit="change sets")
            self.pause(_LOOK)
        if found["Status"] == "FAILED":
            raise StepFailedError(
                f"AWS makes no change set for {name}: {found.get('StatusReason', 'no reason given')}",
                component=self.spec.name,
                state="The stack is as it was",
            )
        for each in found.get("Changes", ()):
            what = each["ResourceChange"]
            if what["Action"] == "Remove" or what.get("Replacement", "False") != "False":
                how = "removed" if what["Action"] == "Remove" else "replaced"
                progress.message(
                    f"{self.spec.name}: {name}: {what['ResourceType']} {what['LogicalResourceId']} is {how}"
                )

    def _settle(self, aws: Aws, name: str, progress: Progress) -> dict[str, Any]:
        """The stack, once no update of it is going on. Raises BusyError after `stack_seconds`."""
        deadline = time.monotonic() + self._options.stack_seconds
        while (stack := self._stack(aws, name))["StackStatus"].endswith("_IN_PROGRESS"):
            if time.monotonic() > deadline:
                raise BusyError(
                    f"Stack {name} is {stack['StackStatus']} after {self._options.stack_seconds:g} seconds",
                    component=self.spec.name,
                    state="AWS goes on updating it",
                    next_step="Execute the same rollback again: it goes on waiting",
                )
            progress.update(f"wait for {name}", done=0, total=1, unit=self.noun)
            self.pause(_LOOK)
        return stack

    def _stack(self, aws: Aws, name: str) -> dict[str, Any]:
        found = aws.call("describe_stacks", StackName=name, accept={"ValidationError"})
        if "Error" in found:
            raise ConfigurationError(
                f"There is no stack {name}",
                component=self.spec.name,
                next_step="Correct `stacks`; a stack that was deleted has to be made by what made it",
            )
        stack: dict[str, Any] = found["Stacks"][0]
        return stack

    def _require_possible(self, change: Change, blobs: BlobReader) -> None:
        now, target = change.now or {}, change.target or {}
        size = len(blobs.get_blob(target["template"]))
        if size > _TEMPLATE_BYTES and target["template"] != now.get("template"):
            raise UnsupportedError(
                f"The template of {change.address} has {size:,} bytes, and AWS takes more than {_TEMPLATE_BYTES:,} from S3 alone",
                component=self.spec.name,
                next_step="Update this stack with what made it, and roll back the others alone",
            )
        if lost := [field.removeprefix(_PARAMETER) for field in target if target[field] is None and field not in now]:
            raise UnsupportedError(
                f"{change.address}: the value of {', '.join(lost)} went with the migration, and AWS does not show it",
                component=self.spec.name,
                next_step="Give the stack this parameter again, then generate again",
            )

    def _aws(self) -> Aws:
        return Aws(self.spec.name, self.connections(self._connection), "cloudformation")


def _parameters(fields: Fields) -> list[dict[str, Any]]:
    return [
        {"ParameterKey": field.removeprefix(_PARAMETER)}
        | ({"UsePreviousValue": True} if value is None else {"ParameterValue": value})
        for field, value in sorted(fields.items())
        if field.startswith(_PARAMETER)
    ]
