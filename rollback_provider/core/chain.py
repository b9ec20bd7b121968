"""Several migrations at once: which later ones a rollback to an older snapshot takes back with the first.

What a later migration did must not pass for an application's writes. So the states of both migrations are composed, component by
component, into one snapshot and one checkpoint: the later snapshot with the first migration undone in it, and what the later checkpoint
changed of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rollback_provider.core.component import Composable, ConnectionResolver
from rollback_provider.core.errors import ConflictError, UnsupportedError
from rollback_provider.core.journal import Journal
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import Attribution, Checkpoint, ComponentState, Policy, Snapshot
from rollback_provider.core.registry import build
from rollback_provider.core.repository import Repository, Store

_WEAKEST = (
    Attribution.UNKNOWN,
    Attribution.TRACKING,
    Attribution.QUIET,
    Attribution.TRIGGERS,
    Attribution.JOURNAL,
    Attribution.TRANSACTION,
)


@dataclass(frozen=True)
class Later:
    """A later migration that is in effect: its snapshot, and the checkpoint that tells what it changed, if there is one."""

    snapshot: Snapshot
    checkpoint: Checkpoint | None

    def state_of(self, identity: str) -> ComponentState | None:
        """The snapshot's state of a system."""
        return next((state for state in self.snapshot.components if state.identity == identity), None)

    def changes_of(self, name: str) -> ComponentState | None:
        """The checkpoint's state of a component."""
        states = self.checkpoint.components if self.checkpoint else ()
        return next((state for state in states if state.spec.name == name), None)


def later_migrations(repository: Repository, snapshot: Snapshot) -> tuple[Later, ...]:
    """Migrations of the same systems that were begun after `snapshot` and are in effect, oldest first."""
    systems = {state.identity for state in snapshot.components}
    found = [
        each
        for each in map(repository.snapshot, repository.snapshot_ids())
        if each.created > snapshot.created
        and each.undoes is None
        and any(state.identity in systems for state in each.components)
    ]
    taken_back = set(_taken_back(repository)) if found else set()
    return tuple(
        Later(each, _told(repository, each))
        for each in sorted(found, key=lambda each: each.created)
        if each.id not in taken_back
    )


def weakest(*attributions: Attribution) -> Attribution:
    """What all of them together promise."""
    return min(attributions, key=_WEAKEST.index)


class Chain:
    """Composes the states of one component, migration by migration.

    :param later: what was migrated after the snapshot, oldest first
    """

    def __init__(
        self,
        store: Store,
        later: tuple[Later, ...],
        connections: ConnectionResolver,
        policy: Policy,
    ) -> None:
        self._store = store
        self._later = later
        self._connections = connections
        self._policy = policy
        self._composed: set[str] = set()

    @property
    def composed(self) -> list[Later]:
        """Migrations that are taken back with the first, oldest first."""
        return [each for each in self._later if each.snapshot.id in self._composed]

    def compose(
        self, before: ComponentState, after: ComponentState | None, ledger: LedgerWriter
    ) -> tuple[ComponentState, ComponentState | None, list[str]]:
        """Snapshot and checkpoint of all migrations together, and notes on what nobody can tell. What they lose is added to `ledger`.

        Raises UnsupportedError where their changes cannot be told apart, ConflictError where the policy says to stop.
        """
        notes: list[str] = []
        component = build(before.spec, self._connections)
        for each in self._later:
            state = each.state_of(before.identity)
            if state is None or after is None:
                continue
            if isinstance(component, Composable) and not component.shares(state.spec):
                continue
            changes = each.changes_of(state.spec.name)
            if changes is None:
                notes.append(self._untold(each, before.spec.name))
                continue
            if not isinstance(component, Composable):
                raise UnsupportedError(
                    f"Migration {each.snapshot.migration} came later, and this kind takes back one migration at a time",
                    component=before.spec.name,
                    next_step=f"Take the later one back first: rollbackctl generate {each.snapshot.id}",
                )
            blobs = tuple(dict.fromkeys([*before.blobs, *after.blobs, *state.blobs, *changes.blobs]))
            try:
                before, after = component.compose((before, after), (state, changes), self._policy, self._store, ledger)
            except UnsupportedError as error:
                error.next_step = f"Take the later one back first: rollbackctl generate {each.snapshot.id}"
                raise
            before = before.model_copy(update={"blobs": blobs})
            notes.append(
                f"what migration {each.snapshot.migration} changed since (snapshot {each.snapshot.id}) goes, too"
            )
            self._composed.add(each.snapshot.id)
        return before, after, notes

    def _untold(self, each: Later, component: str) -> str:
        what = f"snapshot {each.snapshot.id} was taken since, and no checkpoint tells what migration {each.snapshot.migration} changed"
        if self._policy.ambiguous == "fail":
            raise ConflictError(
                what[0].upper() + what[1:],
                component=component,
                next_step=f"Take it back first: rollbackctl generate {each.snapshot.id}",
            )
        return f"{what}: its changes of rows count as applications', and stay"


def _told(repository: Repository, snapshot: Snapshot) -> Checkpoint | None:
    newest = next(reversed(repository.checkpoints(snapshot.id)), None)
    return newest if newest and newest.attribution not in {Attribution.UNKNOWN, Attribution.TRACKING} else None


def _taken_back(repository: Repository) -> Iterator[str]:
    """Ids of snapshots whose migration is not in effect any more."""
    for rollback_id in repository.rollback_ids():
        plan = repository.plan(rollback_id)
        journal = Journal(repository.store, rollback_id)
        if journal.executed and journal.undone_by is None and not plan.policy.partial:
            yield from (plan.snapshot_id, *plan.through)
