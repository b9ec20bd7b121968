"""A shop whose database is migrated by a tool of its own: the same two migrations for each tool, and each way a downgrade goes wrong."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from rollback_provider.components.postgres.migration import observe
from rollback_provider.core.base import Json
from rollback_provider.core.capturer import take_checkpoint, take_snapshot
from rollback_provider.core.component import Connection
from rollback_provider.core.document import Record
from rollback_provider.core.executor import execute
from rollback_provider.core.ledger import read_ledger
from rollback_provider.core.model import ComponentSpec, Plan, Policy
from rollback_provider.core.planner import generate
from rollback_provider.core.repository import Store
from rollback_provider.core.verifier import verify
from tests.fix_postgres import Database
from tests.fix_progress import RecordedProgress

EXHAUSTIVE = os.environ.get("TOOLS") == "all"
"""``make tools``: each downgrade through each tool, and a worker killed at each moment."""
FIRST = [
    "create table orders (id int primary key, status text, legacy text not null default '?', total int not null)",
    "create table coupons (code text primary key, percent int)",
    "insert into orders select n, 'open', 'L' || n, n * 10 from generate_series(1, 20) n",
    "insert into coupons values ('SPRING', 10), ('AUTUMN', 20)",
]
UP = [
    "alter table orders rename column status to state",
    "alter table orders drop column legacy",
    "alter table orders add column currency text",
    "update orders set total = 0 where id <= 5",
    "drop table coupons",
    "create table vouchers (code text primary key)",
]
DOWN = [
    "drop table vouchers",
    "create table coupons (code text primary key, percent int)",
    "alter table orders drop column currency",
    "alter table orders add column legacy text not null default '?'",
    "alter table orders drop column state",
    "alter table orders add column status text",
]
"""As people write them: columns and a table are there again, and what they held is not; a rename is a drop and an add."""
APPLICATION = [
    "update orders set state = 'paid' where id in (3, 8)",
    "update orders set currency = 'EUR' where id = 9",
    "insert into orders (id, state, total) values (100, 'new', 7)",
    "delete from orders where id = 12",
    "insert into vouchers values ('WELCOME')",
]
BACK = sorted(
    [(n, "paid" if n in {3, 8} else "open", f"L{n}", n * 10) for n in range(1, 21) if n != 12] + [(100, "new", "?", 7)]
)
"""Orders when all of that has been taken back."""


@dataclass
class Project:
    """One tool's project, its database, and a rollback of it through the tool."""

    database: Database
    store: Store
    directory: Path
    options: dict[str, Any]
    environment: Mapping[str, str]
    password: str | None = None
    progress: RecordedProgress = field(default_factory=RecordedProgress)
    snapshot_id: str = ""
    plan: Plan | None = None

    def run(self, *command: str) -> str:
        """Runs the tool as its user does."""
        done = subprocess.run(
            command,
            cwd=self.directory,
            env={**os.environ, **self.environment},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    @property
    def spec(self) -> ComponentSpec:
        """The database as a component."""
        options = {"migration_tool": {"directory": str(self.directory), **self.options}}
        return ComponentSpec(kind="postgres", name="db", connection=self.database.name, options=options)

    def resolve(self, connection_id: str) -> Connection:
        """The database, whose server trusts everybody."""
        return replace(self.database.resolve(connection_id), password=self.password)

    def snapshot(self) -> Self:
        """Takes the snapshot."""
        taken = take_snapshot(self.store, "test", [self.spec], self.resolve, self.progress, actor="test")
        self.snapshot_id = taken.id
        return self

    def checkpoint(self) -> Self:
        """Takes the checkpoint."""
        take_checkpoint(self.store, self.snapshot_id, self.resolve, self.progress, actor="test")
        return self

    def observed(self) -> Any:
        """A migration in a transaction of its own."""
        return observe(self.store, self.snapshot_id, "db", self.resolve, self.progress, actor="test", alter=["orders"])

    def application(self, statements: Sequence[str] = APPLICATION) -> Self:
        """Applications write."""
        self.database.run("; ".join(statements) or "select 1")
        return self

    def generate(self, **policy: Any) -> Plan:
        """Plans the way back."""
        self.plan = generate(
            self.store,
            self.snapshot_id,
            self.resolve,
            self.progress,
            actor="test",
            policy=Policy(**{"downgrade": ("db",), **policy}),
        )
        return self.plan

    def execute(self, store: Store | None = None) -> Record:
        """Goes it."""
        assert self.plan
        return execute(store or self.store, self.plan.rollback_id, self.resolve, self.progress, actor="test")

    def verify(self) -> Record:
        """Measures, and says what is not back."""
        assert self.plan
        record = verify(self.store, self.plan.rollback_id, self.resolve, self.progress, actor="test")
        bad = [check for check in record.execution.verification.checks if check.status != "passed"]
        assert not bad, bad
        return record

    def entries(self, record: Record | None = None) -> list[Json]:
        """What the plan has listed, or the execution beyond that."""
        assert self.plan
        return list(read_ledger(record.execution.ledger if record else self.plan.ledger, self.store))

    def orders(self) -> list[tuple[Any, ...]]:
        """What there is."""
        return self.database.rows("select id, status, legacy, total from orders order by id")
