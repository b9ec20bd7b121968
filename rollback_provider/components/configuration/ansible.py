"""Kind ``ansible``: playbooks, taken back by running them as they were in the commit that was deployed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from shlex import quote
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rollback_provider.components.configuration.ansible_runs import Deployed, Play, Tags
from rollback_provider.core.component import BlobReader, Blobs, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.errors import UnsupportedError
from rollback_provider.core.model import ComponentSpec, ComponentState
from rollback_provider.core.verification import Check
from rollback_provider.resources import (
    Batch,
    Change,
    Digests,
    Fields,
    MovedError,
    Options,
    ResourceComponent,
    State,
    make_check,
    parse_options,
)

Inside = Annotated[str, Field(pattern=r"^[^-/].*$")]


class PlaybookOptions(Options):
    """One playbook, by paths in the repository.

    :param playbook: ``site.yml``
    :param inventory: ``inventories/production``
    """

    playbook: Inside
    inventory: Inside


class AnsibleOptions(Options):
    """Options of kind ``ansible``.

    :param repository: directory of the git repository that holds the playbooks, as an absolute path
    :param playbooks: by the tag that says what of it is deployed
    :param program: ``ansible-playbook``, or a path
    :param timeout_seconds: how long a run may take
    """

    repository: Annotated[str, Field(pattern=r"^/.*[^/]$")]
    playbooks: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")], PlaybookOptions] = Field(
        min_length=1
    )
    program: str = "ansible-playbook"
    timeout_seconds: float = Field(default=3600.0, gt=0)


class AnsibleComponent(ResourceComponent):
    """Playbooks: which commit of each is deployed, and with which extra variables. The two make one field.

    An optional connection holds what is secret: the vault's password, ``extra_vars``, ``environment``.
    """

    kind: ClassVar[str] = "ansible"
    section: ClassVar[Literal["application"]] = "application"
    noun: ClassVar[str] = "playbooks"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._options = parse_options(spec, AnsibleOptions)
        self._tags = Tags(spec.name, Path(self._options.repository), self.pause)

    def identity(self) -> str:
        """Names the tags: they stand for the hosts of their inventories."""
        return f"ansible:{self._options.repository}:{','.join(sorted(self._options.playbooks))}"

    def capture(self, blobs: Blobs, progress: Progress) -> ComponentState:
        """Refuses a playbook that would change its hosts: it would not lead back to what they are."""
        captured = super().capture(blobs, progress)
        for address, changed in self._left(self.read(blobs)).items():
            if changed:
                raise UnsupportedError(
                    f"The hosts are not what {address} says: {changed} tasks would change something",
                    component=self.spec.name,
                    next_step="Run the playbook, or correct tasks that report a change each time",
                )
        return captured

    def checkpoint(self, snapshot: ComponentState, blobs: Blobs, progress: Progress) -> ComponentState:
        """Reads the tags again."""
        return super().capture(blobs, progress)

    def read(self, blobs: BlobWriter) -> State:
        """Reads the tags."""
        state: State = {}
        for tag in self._options.playbooks:
            self.stop_if_cancelled()
            if (deployed := self._tags.read(tag)) is not None:
                state[tag] = _fields(deployed)
        return state

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """A step for each playbook, with what it would change."""
        for change in changes:
            if change.target is None:
                raise UnsupportedError(
                    f"{change.address} was deployed for the first time, and no playbook says how to take that away",
                    component=self.spec.name,
                    next_step="Write and run one by hand, then delete the tag",
                )
            deployed = change.target["deployed"]
            changed, shown = self._play(change.address).check(deployed["commit"], deployed["extra_vars"])
            lines = "\n".join(f"# {line}".rstrip() for line in shown.splitlines())
            notes = (f"{change.address}: {changed} tasks would change something; what no task names stays as it is",)
            yield Batch(self.title(change), (change,), script=f"{self.command(change)}\n{lines}", notes=notes)

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Moves the tags. A tag goes first, so that a run that is interrupted is known to have begun."""
        for change in changes:
            self.stop_if_cancelled()
            before = self._tags.read(change.address)
            if before is None or change.target is None or _fields(before) != change.now:
                raise MovedError(f"{change.address} has been deployed by somebody else")
            deployed = change.target["deployed"]
            self._tags.move(change.address, before, deployed["commit"], deployed["extra_vars"])

    def complete(self, changes: Sequence[Change], progress: Progress) -> None:
        """Runs each playbook whose tag says what it is to say. One that somebody else has deployed since is left alone."""
        now = self.read(Digests())
        for change in changes:
            if change.target is None or now.get(change.address) != change.target:
                continue
            deployed = change.target["deployed"]
            progress.update(f"run {change.address}", done=0, total=1, unit="playbooks")
            changed = self._play(change.address).run(deployed["commit"], deployed["extra_vars"])
            progress.message(f"{self.spec.name}: {change.address} has changed something with {changed} tasks")

    def command(self, change: Change) -> str:
        """Tags what is deployed, and runs the playbook of an export."""
        if change.target is None:
            return f"# {change.address} was deployed for the first time"
        deployed, entry = change.target["deployed"], self._options.playbooks[change.address]
        repository, variables = (
            quote(self._options.repository),
            quote(json.dumps(deployed["extra_vars"], sort_keys=True)),
        )
        return "\n".join(
            (
                f"git -C {repository} tag -f -a -m {variables} {change.address} {deployed['commit']}",
                f"git -C {repository} worktree add --detach /tmp/rollback {deployed['commit']} && cd /tmp/rollback",
                f"{quote(self._options.program)} -i {quote(entry.inventory)} -e {variables} {quote(entry.playbook)}",
            )
        )

    def checks(self, now: State) -> Iterable[Check]:
        """A dry run of what each tag says has nothing left to change."""
        left = self._left(now)
        wrong = [f"{address}: {changed} tasks would change something" for address, changed in left.items() if changed]
        yield make_check(
            self.spec.name, "dry run", 0, sum(left.values()), wrong, f"nothing left to change in {len(left)} playbooks"
        )

    def _left(self, now: State) -> dict[str, int]:
        """How many tasks of each playbook would change something."""
        return {
            address: self._play(address).check(fields["deployed"]["commit"], fields["deployed"]["extra_vars"])[0]
            for address, fields in now.items()
        }

    def _play(self, tag: str) -> Play:
        entry = self._options.playbooks[tag]
        return Play(
            self.spec.name,
            self._options.program,
            Path(self._options.repository),
            entry.playbook,
            entry.inventory,
            self.connections(self.spec.connection) if self.spec.connection else None,
            self._options.timeout_seconds,
            self.pause,
        )


def _fields(deployed: Deployed) -> Fields:
    return {"deployed": {"commit": deployed.commit, "extra_vars": dict(deployed.variables)}}
