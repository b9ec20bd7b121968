"""The component protocol for a system that is a set of named resources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from threading import Event
from typing import ClassVar, Literal

from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobReader, Blobs, BlobWriter, ConnectionResolver, Notes, Progress
from rollback_provider.core.errors import BusyError, ComponentError, UnsupportedError
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import (
    ComponentPlan,
    ComponentSpec,
    ComponentState,
    LedgerEntry,
    Policy,
    Step,
    StepOutcome,
    utcnow,
)
from rollback_provider.core.repository import digest_of
from rollback_provider.core.verification import Check
from rollback_provider.resources.checks import restored_check, state_check
from rollback_provider.resources.settle import Settler
from rollback_provider.resources.state import (
    Change,
    Digests,
    Fields,
    MovedError,
    State,
    load_changes,
    load_state,
    save_changes,
    save_state,
)
from rollback_provider.resources.writing import Batch, Written, before_and_after

_TRIES = 8
"""How often a step decides anew before it gives up, where others write the same resources all the time."""


class ResourceComponent(ABC):
    """A component whose system is read as a whole and written resource by resource.

    A subclass names its kind and reads and writes resources; see the abstract methods. It may put changes that belong together into one
    step (`batches`), and add checks of its own (`checks`). It waits with `pause`, so that it can be cancelled.
    """

    kind: ClassVar[str]
    section: ClassVar[Literal["application", "infrastructure"]]
    """Which of the record's scripts its steps belong to."""
    noun: ClassVar[str]
    """What its resources are called, in the plural: ``servers``."""

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        self.spec = spec
        self.connections = connections
        self._cancelled = Event()

    @abstractmethod
    def identity(self) -> str:
        """Names the system itself; see :meth:`rollback_provider.core.component.Component.identity`."""

    @abstractmethod
    def read(self, blobs: BlobWriter) -> State:
        """All resources in the component's scope, and of each all that is to come back; no secrets. Large values are blobs it refers to.

        The same system gives the same state: what changes by itself (clocks, serial numbers, counters) is left out. Raises
        ComponentUnavailableError, PermissionDeniedError, and UnsupportedError by name for what cannot be brought back.
        """

    @abstractmethod
    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Makes resources what they are to be, in order, and returns once they are. Done twice, it does nothing the second time.

        Where the system can compare and swap, a resource that is not `now` any more raises MovedError. Raises StepFailedError where the
        system refuses a value, and the errors of `read`.
        """

    @abstractmethod
    def command(self, change: Change) -> str:
        """What a person would run to make this change: complete, free of secrets."""

    def is_underway(self, change: Change, now: Fields | None) -> bool:
        """Whether this change, begun and not finished, may have left the resource as it is `now`: then nobody else has written it.

        Unless a kind knows more: where some fields are as they are to be, and the others as they were.
        """
        if now is None or change.now is None or change.target is None:
            return False
        return all(now.get(name) in (change.now.get(name), change.target.get(name)) for name in {**now, **change.now})

    def title(self, change: Change) -> str:
        """What a step that makes this change alone is called."""
        return f"{'Remove' if change.target is None else 'Restore'} {change.address}"

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """The steps, in order: changes that are made together, and a title for them. Each is a step of its own unless a kind knows more."""
        return [Batch(self.title(change), (change,)) for change in changes]

    def complete(self, changes: Sequence[Change], progress: Progress) -> None:  # noqa: B027  most kinds add nothing
        """What is to follow once all changes of a step are made: reload a service, wait for a rollout.

        Done at least once where the step has written anything, and again by whoever resumes it: it must bear that.
        """

    def checks(self, now: State) -> Iterable[Check]:
        """What a kind measures beyond its resources: whether servers answer, whether a rollout is complete."""
        return ()

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """What a person should know before approving these changes, each a sentence."""
        return ()

    def capture(self, blobs: Blobs, progress: Progress) -> ComponentState:
        """Reads all resources into one blob."""
        state = self.read(blobs)
        progress.update(self.spec.name, done=len(state), total=len(state), unit=self.noun)
        return self._sealed(state, blobs)

    def checkpoint(self, snapshot: ComponentState, blobs: Blobs, progress: Progress) -> ComponentState:
        """Reads all resources again."""
        return self.capture(blobs, progress)

    def plan(
        self,
        snapshot: ComponentState,
        checkpoint: ComponentState | None,
        policy: Policy,
        blobs: Blobs,
        ledger: LedgerWriter,
        progress: Progress,
    ) -> ComponentPlan:
        """Steps for the resources that are not what they should be."""
        if policy.part != "all" or policy.rows:
            raise UnsupportedError("Resources go back as a whole", component=self.spec.name)
        then, now = load_state(blobs, snapshot.payload["state"]), self.read(Digests())
        left = load_state(blobs, checkpoint.payload["state"]) if checkpoint else None
        settler = Settler(self.spec.name, self.noun, policy, then, left, now)
        changes = [*settler.changes(ledger)]
        progress.update(
            f"compare {self.spec.name}", done=len(settler.addresses), total=len(settler.addresses), unit=self.noun
        )
        batches = [*self.batches(changes, blobs)]
        steps = tuple(
            Step(
                id=f"{self.spec.name}.{number:03}",
                component=self.spec.name,
                title=batch.title,
                section=self.section,
                script=batch.script or "\n".join(self.command(change) for change in batch.changes),
                payload={
                    **batch.payload,
                    "changes": save_changes(blobs, batch.changes),
                    "addresses": [change.address for change in batch.changes],
                },
                estimate=batch.estimate,
            )
            for number, batch in enumerate(batches, start=1)
        )
        payload = {
            "then": snapshot.payload["state"],
            "left": save_state(blobs, settler.left),
            "only": list(policy.only),
        }
        return ComponentPlan(
            component=self.spec.name,
            fingerprint=_fingerprint(now, steps),
            steps=steps,
            notes=(*self.notes(changes), *(note for batch in batches for note in batch.notes)),
            payload=payload,
        )

    def fingerprint(self, snapshot: ComponentState, plan: ComponentPlan, blobs: BlobReader) -> str:
        """Of the resources that the plan changes."""
        return _fingerprint(self.read(Digests()), plan.steps)

    def apply(self, step: Step, blobs: Blobs, notes: Notes, progress: Progress) -> StepOutcome:
        """Changes what the step names. What each resource was and becomes is noted before it is written, what is listed before that.

        What somebody has written to the same fields since the plan is never undone: it is kept and listed.
        """
        planned = load_changes(blobs, step.payload["changes"])
        earlier = notes.earlier()
        notes.add({"begun": step.id})
        ledger = LedgerWriter(blobs)
        listed = [LedgerEntry.model_validate(note["listed"]) for note in earlier if "listed" in note]
        for entry in listed:
            ledger.add(entry)
        written = Written(earlier)
        for _ in range(_TRIES):
            self.stop_if_cancelled()
            now = self.read(Digests())
            pending = []
            for change in planned:
                current = now.get(change.address)
                if written.has_come_about(change.address, current):
                    continue
                found = self._found(written, change.address, current)
                settler = Settler.of_step(self.spec.name, self.noun, change, found)
                result, entries = settler.settle(change.address)
                for entry in entries:
                    if entry not in listed:
                        notes.add({"listed": entry.to_json()})
                        listed.append(entry)
                        ledger.add(entry)
                if result != current:
                    pending.append(Change(change.address, current, result))
            progress.update(step.title, done=len(planned) - len(pending), total=len(planned), unit=self.noun)
            if not pending:
                return self._completed(planned, written, ledger, progress)
            notes.add(
                written.note([replace(each, now=self._found(written, each.address, each.now)) for each in pending])
            )
            try:
                self.write(pending, blobs, progress)
            except MovedError as error:
                progress.message(f"{self.spec.name}: {error}; reading again")
        raise BusyError(
            f"{', '.join(change.address for change in pending[:5])}: not what was written, after {_TRIES} tries",
            component=self.spec.name,
            next_step="Find out who else writes them, then execute the same rollback again",
        )

    def verify(
        self,
        snapshot: ComponentState,
        checkpoint: ComponentState | None,
        plan: ComponentPlan,
        ledger: Iterable[Json],
        notes: Callable[[str], Sequence[Json]],
        blobs: Blobs,
        progress: Progress,
    ) -> list[Check]:
        """Compares every field of every resource with the snapshot; what differs must be an application's."""
        then, left = (load_state(blobs, plan.payload[name]) for name in ("then", "left"))
        now = self.read(Digests())
        policy = Policy(only=tuple(plan.payload["only"]))
        settler = Settler(self.spec.name, self.noun, policy, then, left, now)
        progress.update(f"verify {self.spec.name}", done=len(now), total=len(now), unit=self.noun)
        return [
            state_check(self.spec.name, self.noun, settler),
            *restored_check(self.spec.name, settler, ledger),
            *self.checks(now),
        ]

    def before_rollback(
        self, snapshot: ComponentState, plan: ComponentPlan, blobs: Blobs, progress: Progress
    ) -> ComponentState:
        """Reads all resources."""
        return self._sealed(self.read(blobs), blobs)

    def undone(
        self,
        snapshot: ComponentState,
        before: ComponentState,
        plan: ComponentPlan,
        notes: Callable[[str], Sequence[Json]],
        blobs: Blobs,
        progress: Progress,
    ) -> tuple[ComponentState, ComponentState]:
        """Lays each resource that a step has written over the state before: as it was then, and as the step left it."""
        kept = load_state(blobs, before.payload["state"])
        states = before_and_after(kept, [Written(notes(step.id)) for step in plan.steps], self.read(Digests()))
        then, left = (self._sealed(state, blobs) for state in states)
        return then, left

    def scopes(self, snapshot: ComponentState, blobs: BlobReader) -> Iterable[str]:
        """Addresses of all resources, then and now."""
        return sorted({**load_state(blobs, snapshot.payload["state"]), **self.read(Digests())})

    def shares(self, other: ComponentSpec) -> bool:
        """A system is one whole."""
        return True

    def compose(
        self,
        earlier: tuple[ComponentState, ComponentState],
        later: tuple[ComponentState, ComponentState],
        policy: Policy,
        blobs: Blobs,
        ledger: LedgerWriter,
    ) -> tuple[ComponentState, ComponentState]:
        """Settles each resource of the later snapshot as if the earlier migration were taken back in it."""
        then, left, between = (load_state(blobs, state.payload["state"]) for state in (*earlier, later[0]))
        back = Settler(self.spec.name, self.noun, policy, then, left, between).settled(ledger)
        return self._sealed(back, blobs), later[1]

    def export(self, plan: ComponentPlan, blobs: BlobReader) -> Iterator[tuple[str, bytes]]:
        """Each step as its script and its changes."""
        for step in plan.steps:
            yield f"{plan.component}/{step.id}.txt", step.script.encode()
            yield f"{plan.component}/{step.id}.json", blobs.get_blob(step.payload["changes"])

    def cancel(self) -> None:
        """Stops a step before its next change, and ends every wait."""
        self._cancelled.set()

    def close(self) -> None:
        """Forgets a cancellation. Kinds that keep a client open close it, too."""
        self._cancelled.clear()

    def stop_if_cancelled(self) -> None:
        """Raises ComponentError where the component was cancelled."""
        if self._cancelled.is_set():
            raise ComponentError(
                "Cancelled",
                component=self.spec.name,
                state="The journal holds what was done",
                next_step="Execute the same rollback again",
            )

    def pause(self, seconds: float) -> None:
        """Waits; raises ComponentError as soon as the component is cancelled."""
        self._cancelled.wait(seconds)
        self.stop_if_cancelled()

    def _found(self, written: Written, address: str, now: Fields | None) -> Fields | None:
        """How a resource was found: before this step wrote it, where that is not finished."""
        begun = written.change(address)
        return begun.now if begun and self.is_underway(begun, now) else now

    def _completed(
        self, planned: Sequence[Change], written: Written, ledger: LedgerWriter, progress: Progress
    ) -> StepOutcome:
        if len(written):
            self.complete(planned, progress)
        return StepOutcome(changed=len(written) > 0, detail=f"{len(written)} {self.noun} written", ledger=ledger.seal())

    def _sealed(self, state: State, blobs: BlobWriter) -> ComponentState:
        return ComponentState(
            spec=self.spec,
            identity=self.identity(),
            captured=utcnow(),
            payload={"state": save_state(blobs, state)},
            summary={self.noun: len(state)},
        )


def _fingerprint(now: State, steps: Iterable[Step]) -> str:
    addresses = [address for step in steps for address in step.payload["addresses"]]
    return digest_of({address: now.get(address) for address in addresses})
