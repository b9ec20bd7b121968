"""The journal of one rollback: numbered, create-only objects in the store, intent before each step and outcome after it.

It has a lane for the rollback as a whole and one for each component, so that components can be rolled back at the same time, by one
worker or by several.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import groupby
from threading import Lock

from rollback_provider.core.base import Json
from rollback_provider.core.errors import AlreadyExistsError, IntegrityError, LockedError
from rollback_provider.core.event import Event, EventKind
from rollback_provider.core.model import ComponentState, utcnow
from rollback_provider.core.repository import Store, parse

_WHOLE = "rollback"
"""Lane of the rollback as a whole."""


class Journal:
    """Appends to and reads the journal of one rollback.

    Two workers on one lane: numbers have no gap and each object can be created once, so the one that comes second to a number gets a
    LockedError and stops. That makes taking over from a dead worker safe even where it is not dead.

    :ivar events: of all lanes, by time
    """

    def __init__(self, store: Store, rollback_id: str) -> None:
        self._store = store
        self._prefix = _prefix(rollback_id)
        self._rollback_id = rollback_id
        self._lock = Lock()
        self.events: list[Event] = []
        self.refresh()

    def refresh(self) -> None:
        """Reads what other workers have written, too. Raises IntegrityError."""
        with self._lock:
            lanes = groupby(self._store.names(self._prefix), key=lambda name: name.rpartition("/")[0])
            self.events = list(merge(*(list(self._read(names)) for _, names in lanes), key=lambda event: event.time))

    def append(
        self, kind: EventKind, *, component: str = "", step: str = "", actor: str = "", data: Json | None = None
    ) -> Event:
        """Writes one event; durable when it returns. Threads may share a journal. Raises LockedError, StoreUnavailableError.

        :param component: whose lane; the rollback's where not given
        """
        with self._lock:
            number = Counter(event.component for event in self.events)[component] + 1
            event = self._create(
                {
                    "number": number,
                    "component": component,
                    "time": utcnow(),
                    "kind": kind,
                    "step": step,
                    "actor": actor,
                    "data": data or {},
                }
            )
            self.events.append(event)
            return event

    def notes(self, step: str) -> Sequence[Json]:
        """What attempts at `step` have noted so far, oldest first."""
        return [event.data for event in self.events if event.kind == "note" and event.step == step]

    def done(self, step: str) -> bool:
        """Whether `step` has been completed."""
        return any(event.kind == "done" and event.step == step for event in self.events)

    @property
    def started(self) -> bool:
        """Whether any step was begun."""
        return any(event.kind == "intent" for event in self.events)

    @property
    def touched(self) -> bool:
        """Whether anything may have been committed, so that the system is not what the plan was made for any more."""
        return any(event.kind in {"note", "done"} for event in self.events)

    @property
    def executed(self) -> bool:
        """Whether all steps were completed."""
        return any(event.kind == "executed" for event in self.events)

    @property
    def abandoned(self) -> bool:
        """Whether a person gave this rollback up."""
        return any(event.kind == "abandoned" for event in self.events)

    @property
    def before(self) -> tuple[ComponentState, ...] | None:
        """What was kept of the state before the first step; None where nothing was."""
        kept = [event.data["components"] for event in self.events if event.kind == "before"]
        return tuple(map(ComponentState.model_validate, kept[-1])) if kept else None

    @property
    def undone_by(self) -> str | None:
        """Id of the rollback that has undone this one."""
        return next((str(event.data["by"]) for event in self.events if event.kind == "undone"), None)

    def _read(self, names: Iterator[str]) -> Iterator[Event]:
        """The events of one lane."""
        for number, name in enumerate(names, start=1):
            event = parse(Event, self._store.read(name), f"Entry {name} of the journal")
            if event.number != number:
                raise IntegrityError(
                    f"The journal of rollback {self._rollback_id} has gaps, so it does not tell which steps were done",
                    next_step="Restore the store's objects from a copy",
                )
            yield event

    def _create(self, content: Json) -> Event:
        event = Event.model_validate(content)
        try:
            self._store.create(f"{self._prefix}{_lane(event.component)}/{event.number:08d}", event.to_json())
        except AlreadyExistsError as error:
            raise LockedError(
                f"Another worker is executing rollback {self._rollback_id}",
                state="This worker has stopped; the other one goes on",
                next_step=f"Watch it: rollbackctl show {self._rollback_id}",
            ) from error
        return event


def is_open(store: Store, rollback_id: str) -> bool:
    """Whether an execution has begun that is neither finished, refused nor abandoned. Reads the end of the rollback's own lane alone."""
    for name in reversed(list(store.names(f"{_prefix(rollback_id)}{_WHOLE}/"))):
        kind = store.read(name)["kind"]
        if kind not in {"verified", "undone"}:
            return kind not in {"executed", "refused", "abandoned"}
    return False


def _lane(component: str) -> str:
    return f"component-{component}" if component else _WHOLE


def _prefix(rollback_id: str) -> str:
    return f"rollbacks/{rollback_id}/journal/"


class StepNotes:
    """The :class:`~rollback_provider.core.component.Notes` of one step, kept in the journal."""

    def __init__(self, journal: Journal, step: str, component: str = "") -> None:
        self._journal = journal
        self._step = step
        self._component = component

    def add(self, data: Json) -> None:
        """Writes a note; durable when it returns."""
        self._journal.append("note", component=self._component, step=self._step, data=data)

    def earlier(self) -> Sequence[Json]:
        """What attempts at this step have noted so far, oldest first."""
        return self._journal.notes(self._step)

    def of(self, step: str) -> Sequence[Json]:
        """What attempts at another step have noted, oldest first."""
        return self._journal.notes(step)
