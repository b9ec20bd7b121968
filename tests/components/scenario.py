"""One database taken through the five steps, for tests of the PostgreSQL component."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import psycopg

from rollback_provider.components.postgres.migration import observe
from rollback_provider.components.postgres.reserved import marking
from rollback_provider.core.base import Json
from rollback_provider.core.capturer import take_checkpoint, take_snapshot
from rollback_provider.core.document import Record
from rollback_provider.core.executor import execute
from rollback_provider.core.ledger import read_ledger
from rollback_provider.core.model import Checkpoint, ComponentSpec, Plan, Policy
from rollback_provider.core.planner import generate
from rollback_provider.core.repository import Store
from rollback_provider.core.tracking import begin_tracking, end_tracking
from rollback_provider.core.verifier import verify
from tests.fix_postgres import Database
from tests.fix_progress import RecordedProgress


@dataclass
class Scenario:
    """Snapshot, migration, checkpoint, plan, execution, verification of one database."""

    database: Database
    store: Store
    progress: RecordedProgress = field(default_factory=RecordedProgress)
    options: dict[str, Any] = field(default_factory=dict)
    snapshot_id: str = ""
    plan: Plan | None = None

    def begin(self, setup: str) -> Self:
        """Sets the database up and takes the snapshot."""
        self.database.run(setup)
        spec = ComponentSpec(kind="postgres", name="db", connection=self.database.name, options=self.options)
        snapshot = take_snapshot(self.store, "test", [spec], self.database.resolve, self.progress, actor="test")
        self.snapshot_id = snapshot.id
        return self

    def migrate(self, script: str) -> Self:
        """Migrates while applications are quiet, and takes the checkpoint."""
        self.database.run(script)
        take_checkpoint(self.store, self.snapshot_id, self.database.resolve, self.progress, actor="test")
        return self

    def observed(self, **options: Any) -> Any:
        """A migration in its own transaction."""
        return observe(
            self.store, self.snapshot_id, "db", self.database.resolve, self.progress, actor="test", **options
        )

    def track(self, *whole: str) -> Self:
        """Begins to track a migration that commits as it goes."""
        begin_tracking(self.store, self.snapshot_id, self.database.resolve, self.progress, actor="test", whole=whole)
        return self

    def marked(self) -> psycopg.Connection:
        """A session of the tracked migration."""
        return self.database.connect(options=marking(self.snapshot_id))

    def track_to_the_end(self) -> Checkpoint:
        """The migration has ended, one way or another."""
        return end_tracking(self.store, self.snapshot_id, self.database.resolve, self.progress, actor="test")

    def application(self, script: str) -> Self:
        """Applications write."""
        self.database.run(script)
        return self

    def generate(self, **policy: Any) -> Plan:
        """Plans the way back."""
        self.plan = generate(
            self.store, self.snapshot_id, self.database.resolve, self.progress, actor="test", policy=Policy(**policy)
        )
        return self.plan

    def execute(self) -> Record:
        """Goes the way back."""
        assert self.plan
        return execute(self.store, self.plan.rollback_id, self.database.resolve, self.progress, actor="test")

    def verify(self) -> Record:
        """Measures whether it is back, and says what is not."""
        assert self.plan
        record = verify(self.store, self.plan.rollback_id, self.database.resolve, self.progress, actor="test")
        bad = [check for check in record.execution.verification.checks if check.status != "passed"]
        assert not bad, bad
        return record

    def back(self, **policy: Any) -> Record:
        """Plan, execution and verification."""
        self.generate(**policy)
        self.execute()
        return self.verify()

    def entries(self, *, execution: Record | None = None) -> list[Json]:
        """The ledger's entries: the plan's, or those found while executing."""
        assert self.plan
        return list(read_ledger(execution.execution.ledger if execution else self.plan.ledger, self.store))

    def actions(self) -> Counter[str]:
        """How many entries of each action the plan has."""
        return Counter(entry["action"] for entry in self.entries())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        return self.database.rows(query)
