"""Two systems under one migration, and the five steps, for tests of core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rollback_provider.components.memory import State, read_system, write_system
from rollback_provider.core.capturer import take_checkpoint, take_snapshot
from rollback_provider.core.component import Connection, Progress
from rollback_provider.core.document import Record
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.executor import execute
from rollback_provider.core.model import Checkpoint, ComponentSpec, Plan, Policy, Snapshot
from rollback_provider.core.planner import generate
from rollback_provider.core.repository import Repository, Store
from rollback_provider.core.verifier import verify

ACTOR = "ada@ops"
BEFORE: State = {"orders": {"1": {"total": "10"}, "2": {"total": "20"}}, "items": {"1": {"sku": "a"}}}


def no_connections(connection_id: str) -> Connection:
    """Memory systems without a password need no connection."""
    raise ConfigurationError(f"There is no connection {connection_id!r}")


class Watched:
    """Progress that calls back, so that a test can do something in the middle of a step."""

    def __init__(
        self, on_update: Callable[[], None] = lambda: None, on_message: Callable[[], None] = lambda: None
    ) -> None:
        self._on_update = on_update
        self._on_message = on_message

    def update(self, what: str, *, done: float, total: float | None = None, unit: str = "rows") -> None:
        """A step has done something."""
        self._on_update()

    def message(self, text: str) -> None:
        """A step begins."""
        self._on_message()


@dataclass
class Setting:
    """A database and an application that is migrated after it, in a store."""

    store: Store
    database: str
    application: str
    progress: Progress = field(default_factory=Watched)

    @property
    def specs(self) -> tuple[ComponentSpec, ...]:
        """Both components."""
        return (
            ComponentSpec(kind="memory", name="db", options={"system": self.database}),
            ComponentSpec(kind="memory", name="app", after=("db",), options={"system": self.application}),
        )

    def snapshot(self) -> Snapshot:
        """Takes a snapshot."""
        return take_snapshot(self.store, "release 7", self.specs, no_connections, self.progress, actor=ACTOR)

    def migrate(self) -> None:
        """Changes rows of two scopes in both systems; no scope comes or goes."""
        for system in (self.database, self.application):
            state = read_system(system)
            for rows in state.values():
                for row in rows.values():
                    row["migrated"] = "yes"
            write_system(system, state)

    def checkpoint(self, snapshot: Snapshot) -> Checkpoint:
        """Takes a checkpoint."""
        return take_checkpoint(self.store, snapshot.id, no_connections, self.progress, actor=ACTOR)

    def plan(self, snapshot: Snapshot, *, policy: Policy | None = None, checkpoint_id: str | None = None) -> Plan:
        """Makes a plan."""
        return generate(
            self.store,
            snapshot.id,
            no_connections,
            self.progress,
            actor=ACTOR,
            policy=policy,
            checkpoint_id=checkpoint_id,
        )

    def migrated(self) -> Plan:
        """Snapshot, migration, checkpoint, plan."""
        snapshot = self.snapshot()
        self.migrate()
        self.checkpoint(snapshot)
        return self.plan(snapshot)

    def execute(self, plan: Plan, *, store: Store | None = None, progress: Progress | None = None) -> Record:
        """Executes a plan."""
        return execute(store or self.store, plan.rollback_id, no_connections, progress or self.progress, actor=ACTOR)

    def plan_and_execute(self, snapshot_id: str) -> Record:
        """Makes a plan and executes it."""
        return self.execute(self.plan(Repository(self.store).snapshot(snapshot_id)))

    def verify(self, plan: Plan) -> Record:
        """Verifies a rollback."""
        return verify(self.store, plan.rollback_id, no_connections, self.progress, actor=ACTOR)

    def is_back(self) -> bool:
        """Whether both systems are as they were."""
        return read_system(self.database) == BEFORE == read_system(self.application)
