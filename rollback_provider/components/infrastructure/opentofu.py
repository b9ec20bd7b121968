"""Kind ``opentofu``: stacks of OpenTofu or Terraform, taken back by the configuration of a commit, never by a state."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rollback_provider.clients.git import Git
from rollback_provider.components.infrastructure.tofu import Saved, Stack, Tofu
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobReader, Blobs, BlobWriter, ConnectionResolver, Notes, Progress
from rollback_provider.core.errors import ComponentUnavailableError, DriftError, UnsupportedError
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import ComponentPlan, ComponentSpec, ComponentState, Policy, Step, StepOutcome
from rollback_provider.core.repository import digest_of
from rollback_provider.core.verification import Check
from rollback_provider.resources import (
    Batch,
    Change,
    Fields,
    MovedError,
    Options,
    ResourceComponent,
    State,
    load_state,
    make_check,
    parse_options,
)

_REFS = "refs/rollback-provider"
"""Where the working directory's repository remembers what rollbacks have applied: a state does not say which commit it came from.

``applied/LINEAGE/SERIAL`` is the commit of that very state. ``applying/LINEAGE/HEAD`` is the commit that a state was of when an apply set
out, until it is done; it means nothing once another commit is checked out.
"""


class OpentofuOptions(Options):
    """Options of kind ``opentofu``.

    :param directories: working directories, as absolute paths: root modules in a git work tree, initialized with a backend
    :param var_files: files with values of variables that git does not hold, as absolute paths
    :param program: ``tofu`` or ``terraform``, or a path
    :param lock_seconds: how long to wait for the lock of a state
    :param timeout_seconds: how long an apply may take
    """

    directories: tuple[Annotated[str, Field(pattern=r"^/.*[^/]$")], ...] = Field(min_length=1)
    var_files: tuple[Annotated[str, Field(pattern="^/")], ...] = ()
    program: str = "tofu"
    lock_seconds: float = Field(default=10.0, ge=0)
    timeout_seconds: float = Field(default=3600.0, gt=0)


class OpentofuComponent(ResourceComponent):
    """Stacks: which commit's configuration each is, and which resources that makes.

    An optional connection's ``environment`` holds variables for the program: credentials, ``TF_VAR_…``.
    """

    kind: ClassVar[str] = "opentofu"
    section: ClassVar[Literal["infrastructure"]] = "infrastructure"
    noun: ClassVar[str] = "stacks"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._options = parse_options(spec, OpentofuOptions)
        self._approved: Mapping[str, Json] = {}
        self._stacks: dict[str, Stack | None] = {}

    def identity(self) -> str:
        """Names machine and directories: a state is found through its working directory."""
        return f"opentofu:{socket.gethostname()}:{','.join(sorted(self._options.directories))}"

    def capture(self, blobs: Blobs, progress: Progress) -> ComponentState:
        """Refuses a stack that is not what its commit says: its configuration would not lead back to it."""
        captured = self.checkpoint(None, blobs, progress)
        for address, (commit, left) in self._left(load_state(blobs, captured.payload["state"])).items():
            if left:
                raise UnsupportedError(
                    f"{address} is not what commit {commit} says: {', '.join(left[:5])}",
                    component=self.spec.name,
                    next_step="Apply it, or correct the configuration and commit it",
                )
        return captured

    def checkpoint(self, snapshot: ComponentState | None, blobs: Blobs, progress: Progress) -> ComponentState:
        """Reads all stacks, and keeps beside them what is not compared: it is new after each apply."""
        captured = super().capture(blobs, progress)
        facts = {
            address: {"serial": stack.serial, "resources": [*stack.resources], "outputs": stack.outputs}
            for address, stack in self._stacks.items()
            if stack is not None
        }
        return captured.model_copy(update={"payload": {**captured.payload, "facts": facts}})

    def read(self, blobs: BlobWriter) -> State:
        """Reads each state, and finds the commit that it came from."""
        state: State = {}
        for address in self._options.directories:
            self.stop_if_cancelled()
            self._stacks[address] = stack = self._tofu(address).stack()
            if (fields := self._fields(address, stack)) is not None:
                state[address] = fields
        return state

    def plan(
        self,
        snapshot: ComponentState,
        checkpoint: ComponentState | None,
        policy: Policy,
        blobs: Blobs,
        ledger: LedgerWriter,
        progress: Progress,
    ) -> ComponentPlan:
        """Holds to the serial numbers of the states, too: any apply since makes the plan a stale one."""
        plan = super().plan(snapshot, checkpoint, policy, blobs, ledger, progress)
        return plan.model_copy(update={"fingerprint": self._with_serials(plan.fingerprint, plan)})

    def fingerprint(self, snapshot: ComponentState, plan: ComponentPlan, blobs: BlobReader) -> str:
        """Of the stacks that the plan changes, and their serial numbers."""
        return self._with_serials(super().fingerprint(snapshot, plan, blobs), plan)

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """A step for each stack, with the plan that is to be approved."""
        for change in changes:
            self._require_same_state(change)
            commit, destroy = _aim(change)
            tofu = self._tofu(change.address)
            with tofu.plan(commit, destroy=destroy, lock=False) as saved:
                lost = [f"{change.address}: {each} is destroyed, with what is in it" for each in saved.lossy]
                shown = "\n".join(f"# {line}".rstrip() for line in tofu.show(saved).splitlines())
                yield Batch(
                    self.title(change),
                    (change,),
                    script=f"{self.command(change)}\n{shown}",
                    notes=tuple(lost),
                    payload={"approved": dict(saved.changes)},
                )

    def apply(self, step: Step, blobs: Blobs, notes: Notes, progress: Progress) -> StepOutcome:
        """Makes the plan anew, and applies it if it does what was approved and nothing more."""
        self._approved = step.payload["approved"]
        return super().apply(step, blobs, notes, progress)

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Plans, compares with what was approved, applies that very plan, and remembers the commit."""
        for change in changes:
            self.stop_if_cancelled()
            self._require_same_state(change)
            commit, destroy = _aim(change)
            tofu = self._tofu(change.address)
            with tofu.plan(commit, destroy=destroy) as saved:
                self._require_approved(change.address, saved)
                if self._fields(change.address, tofu.stack()) != change.now:
                    raise MovedError(f"{change.address} has been applied by somebody else")
                progress.update(f"apply {change.address}", done=0, total=len(saved.changes), unit="resources")
                with self._remembering(change, commit):
                    if saved.changes:
                        tofu.apply(saved)
            progress.update(
                f"apply {change.address}", done=len(saved.changes), total=len(saved.changes), unit="resources"
            )

    def command(self, change: Change) -> str:
        """Exports the commit and applies a saved plan of it."""
        commit, destroy = _aim(change)
        directory = quote(change.address)
        return "\n".join(
            (
                f"git -C {directory} worktree add --detach /tmp/rollback {commit}",
                f'cd "/tmp/rollback/$(git -C {directory} rev-parse --show-prefix)"',
                f"{self._options.program} init -input=false  # with the backend settings of {directory}",
                f"{self._options.program} plan -out=rollback.tfplan{' -destroy' if destroy else ''}"
                + "".join(f" -var-file={quote(path)}" for path in self._options.var_files),
                f"{self._options.program} apply rollback.tfplan",
            )
        )

    def checks(self, now: State) -> Iterable[Check]:
        """A plan of each stack's commit has nothing left to do."""
        wrong = [
            f"{address}: {each} is not as {commit} says"
            for address, (commit, left) in self._left(now).items()
            for each in left
        ]
        yield make_check(self.spec.name, "plan", 0, len(wrong), wrong, f"nothing left to apply in {len(now)} stacks")

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """That a checkout stays where it is."""
        return tuple(
            f"{change.address}: everything there is destroyed, because there was nothing"
            if change.target is None
            else f"{change.address}: the working directory stays at the migration's commit; the next apply from there migrates again"
            for change in changes
        )

    def _left(self, now: State) -> dict[str, tuple[str, list[str]]]:
        """The commit of each stack, and what a plan of it would still change."""
        left = {}
        for address, fields in now.items():
            commit = fields["applied"]["commit"]
            with self._tofu(address).plan(commit, lock=False) as saved:
                left[address] = (commit, [*saved.changes])
        return left

    def _fields(self, address: str, stack: Stack | None) -> Fields | None:
        if stack is None:
            return None
        return {"applied": {"commit": self._commit(Path(address), stack), "lineage": stack.lineage}}

    def _commit(self, directory: Path, stack: Stack) -> str:
        """The commit that a state came from: which a rollback has applied, or else which is checked out."""
        git = Git(self.spec.name, directory, self.pause)
        if (applied := git.commit(f"{_REFS}/applied/{stack.lineage}/{stack.serial}")) is not None:
            return applied
        head = self._head(git, directory)
        if (before := git.commit(f"{_REFS}/applying/{stack.lineage}/{head}")) is not None:
            return before
        if changed := git.run("status", "--porcelain", "--", ".").splitlines():
            raise UnsupportedError(
                f"{directory} holds what is not committed: {', '.join(line[3:] for line in changed[:5])}",
                component=self.spec.name,
                next_step="Commit it, or put it aside",
            )
        return head

    def _head(self, git: Git, directory: Path) -> str:
        head = git.commit("HEAD")
        if head is None:
            raise UnsupportedError(
                f"{directory} has no commit checked out", component=self.spec.name, next_step="Check one out"
            )
        return head

    @contextmanager
    def _remembering(self, change: Change, commit: str) -> Iterator[None]:
        """Within it a stack is taken for what it was; afterwards for the commit that was applied. A worker may die anywhere."""
        git = Git(self.spec.name, Path(change.address), self.pause)
        applying = None
        if change.now is not None:
            lineage = change.now["applied"]["lineage"]
            applying = f"{_REFS}/applying/{lineage}/{self._head(git, Path(change.address))}"
            git.run("update-ref", applying, change.now["applied"]["commit"])
        yield
        stack = self._tofu(change.address).stack()
        if stack is not None:
            git.run("update-ref", f"{_REFS}/applied/{stack.lineage}/{stack.serial}", commit)
        if applying is not None:
            git.run("update-ref", "-d", applying)

    def _require_approved(self, address: str, saved: Saved) -> None:
        if beyond := saved.beyond(self._approved):
            raise DriftError(
                f"The plan of {address} is stale: it would change {', '.join(beyond[:5])} otherwise than was approved",
                component=self.spec.name,
                state="This stack was not changed; the journal holds what was done to others",
            )

    def _require_same_state(self, change: Change) -> None:
        before, after = (fields and fields["applied"]["lineage"] for fields in (change.now, change.target))
        if before and after and before != after:
            raise UnsupportedError(
                f"The state of {change.address} is another one than in the snapshot: {before}, not {after}",
                component=self.spec.name,
                next_step="Bring the state itself back from the backend's own versions",
            )

    def _with_serials(self, fingerprint: str, plan: ComponentPlan) -> str:
        """With the serial numbers of the states that the fingerprint was read from."""
        changed = {address for step in plan.steps for address in step.payload["addresses"]}
        serials = {address: stack and stack.serial for address, stack in self._stacks.items() if address in changed}
        return digest_of({"resources": fingerprint, "serials": serials})

    def _tofu(self, address: str) -> Tofu:
        directory = Path(address)
        if not directory.is_dir():
            raise ComponentUnavailableError(f"There is no directory {directory}", component=self.spec.name)
        extra: dict[str, Any] = self.connections(self.spec.connection).extra if self.spec.connection else {}
        return Tofu(
            self.spec.name,
            self._options.program,
            directory,
            environment=extra.get("environment", {}),
            var_files=self._options.var_files,
            lock_seconds=self._options.lock_seconds,
            timeout=self._options.timeout_seconds,
            wait=self.pause,
        )


def _aim(change: Change) -> tuple[str, bool]:
    """The commit whose configuration is planned, and whether to destroy it."""
    fields = change.target or change.now or {}
    return fields["applied"]["commit"], change.target is None
