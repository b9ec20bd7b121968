"""A shop to be rehearsed: its snapshot in a store, and a migration in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollback_provider.core.capturer import take_snapshot
from rollback_provider.core.component import Connection
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.rehearsal.model import Rehearsal
from rollback_provider.rehearsal import run_rehearsal
from rollback_provider.store import SnapshotStore
from tests.contract.test_postgres import BEFORE, MIGRATION
from tests.fix_postgres import Database
from tests.fix_progress import RecordedProgress

ALTERED = ["orders", "coupons", "customers"]


@dataclass
class Subject:
    """What a rehearsal needs."""

    database: Database
    store: SnapshotStore
    folder: Path
    snapshot_id: str = ""
    setup: str = BEFORE
    migration: str = MIGRATION

    def __post_init__(self) -> None:
        self.database.run(self.setup)
        spec = ComponentSpec(kind="postgres", name="shop", connection=self.database.name)
        taken = take_snapshot(self.store, "shop-1", [spec], self.database.resolve, RecordedProgress(), actor="test")
        self.snapshot_id = taken.id
        self.file.write_text(self.migration)

    @property
    def file(self) -> Path:
        """The migration."""
        return self.folder / "migration.sql"

    @property
    def source(self) -> dict[str, Any]:
        """The migration as it is handed over."""
        return {"sql": [str(self.file)], "alter": ALTERED}

    @property
    def scratch(self) -> Connection:
        """A connection to the same server, which names a database that does not exist."""
        return self.connection(f"{self.database.name}_copy")

    def connection(self, database: str, user: str = "postgres") -> Connection:
        """A connection to a database of the same server."""
        return Connection(id="scratch", type="postgres", host=self.database.socket, login=user, schema=database)

    def rehearse(self, migration: Any = None, **options: Any) -> Rehearsal:
        """Rehearses on the same server unless told otherwise."""
        given: dict[str, Any] = {"actor": "test", "scratch": self.scratch} | options
        return run_rehearsal(
            self.store,
            self.snapshot_id,
            migration or self.source,
            RecordedProgress(),
            **given,
        )

    def databases(self) -> set[str]:
        """Databases that belong to this subject."""
        rows = self.database.rows("select datname from pg_database")
        return {name for (name,) in rows if name.startswith(self.database.name)}
