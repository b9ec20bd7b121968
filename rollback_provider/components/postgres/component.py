"""The PostgreSQL component: one database, or some of its schemas."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from rollback_provider.components.postgres import catalog as catalogs
from rollback_provider.components.postgres.access import (
    check_owned,
    check_readable,
    refuse_running_migration,
    tables_in,
)
from rollback_provider.components.postgres.apply import Applier
from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.catalog.sql_text import ident
from rollback_provider.components.postgres.copier import Copier
from rollback_provider.components.postgres.delta import DeltaReader
from rollback_provider.components.postgres.horizon import Horizon, current_xmin
from rollback_provider.components.postgres.images import load_deltas, save_deltas, save_rows
from rollback_provider.components.postgres.planning.conversions import converts
from rollback_provider.components.postgres.planning.desk import Desk, Situation
from rollback_provider.components.postgres.planning.planner import DataPlanner
from rollback_provider.components.postgres.reverse import retyped, reverse
from rollback_provider.components.postgres.sequences import behind, sequence_values
from rollback_provider.components.postgres.session import (
    Session,
    conninfo,
    exclusive,
    identity_of,
    mapped,
    open_session,
    reading,
)
from rollback_provider.components.postgres.soft_drop.acceptance import drop_for_good, soft_drops
from rollback_provider.components.postgres.steps import assemble
from rollback_provider.components.postgres.taking import EarlierCopy, take_rows, types_of
from rollback_provider.components.postgres.verify import Verifier
from rollback_provider.core.component import BlobReader, Blobs, BlobWriter, ConnectionResolver, Notes, Progress
from rollback_provider.core.errors import ConfigurationError, UnsupportedError
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import (
    Check,
    ComponentPlan,
    ComponentSpec,
    ComponentState,
    Json,
    Policy,
    SoftDrop,
    Step,
    StepOutcome,
    utcnow,
)


class PostgresComponent:
    """A :class:`~rollback_provider.core.component.Component` for PostgreSQL 14 and later.

    Options: ``schemas``, a list of schema names; left out, all user schemas. Needs SELECT on every table to take a snapshot, and
    ownership of what the migration changed to roll it back.
    """

    kind: ClassVar[str] = "postgres"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        if not spec.connection:
            raise ConfigurationError("A postgres component needs a `connection`", component=spec.name)
        if unknown := set(spec.options) - {"schemas"}:
            raise ConfigurationError(f"Unknown options: {', '.join(sorted(unknown))}", component=spec.name)
        schemas = spec.options.get("schemas")
        if schemas is not None and (not isinstance(schemas, list) or not all(isinstance(s, str) for s in schemas)):
            raise ConfigurationError("`schemas` must be a list of names", component=spec.name)
        self.spec = spec
        self._schemas: Sequence[str] | None = schemas
        self._connections = connections
        self._session: Session | None = None
        self._copiers: list[Copier] = []
        self._cancelled = threading.Event()

    def identity(self) -> str:
        """Cluster and database."""
        with mapped(self.spec.name):
            return identity_of(self._open())

    def capture(self, blobs: Blobs, progress: Progress) -> ComponentState:
        """Schema, all rows, and sequences, under one snapshot of the database."""
        with self._reading() as (session, copier):
            catalog = catalogs.capture(session, self._schemas)
            return self._captured(session, copier, catalog, None, blobs, progress)

    def capture_since(self, earlier: ComponentState, blobs: Blobs, progress: Progress) -> ComponentState:
        """The same; of tables in which little has changed since an earlier state only the changes are copied."""
        with self._reading() as (session, copier):
            catalog = catalogs.capture(session, self._schemas)
            then = catalog_of(earlier, blobs)
            copy = None
            if then.same_database(catalog):
                same_types = self._schemas is None and types_of(then) == types_of(catalog)
                copy = EarlierCopy(Base(earlier.payload["rows"], None, blobs), same_types=same_types)
            return self._captured(session, copier, catalog, copy, blobs, progress)

    def _captured(
        self,
        session: Session,
        copier: Copier,
        catalog: catalogs.Catalog,
        earlier: EarlierCopy | None,
        blobs: Blobs,
        progress: Progress,
    ) -> ComponentState:
        tables = catalog.tables()
        taken = take_rows(session, copier, tables, earlier, blobs, progress, f"{self.spec.name}: copying rows")
        outside = sorted(tables_in(session, None).keys() - {table.oid for table in tables})
        payload = self._payload(session, catalog, blobs) | {
            "rows": save_rows(taken.rows, blobs),
            "deltas": save_deltas(taken.deltas, blobs) if taken.deltas else None,
            "outside": outside,
        }
        summary = {"tables": len(tables), "rows": taken.count}
        return self._state(session, payload, summary).model_copy(update={"blobs": taken.reused})

    def checkpoint(self, snapshot: ComponentState, blobs: Blobs, progress: Progress) -> ComponentState:
        """Catalog and changed rows since the snapshot."""
        with self._reading() as (session, copier):
            return self.changes(session, copier, snapshot, blobs, progress)

    def catch_up(
        self, session: Session, copier: Copier, snapshot: ComponentState, blobs: Blobs, progress: Progress
    ) -> ComponentState:
        """What changed since the rows of the snapshot were copied, be it before or after it was sealed: to be laid over these rows."""
        return self._changes(session, copier, snapshot, (None, None), blobs, progress)

    def changes(
        self,
        session: Session,
        copier: Copier,
        snapshot: ComponentState,
        blobs: Blobs,
        progress: Progress,
        *,
        caught_up: ComponentState | None = None,
    ) -> ComponentState:
        """What changed in the current transaction's view since the snapshot, or since it was caught up."""
        since = (
            (caught_up.payload["deltas"], caught_up.payload["xmin"])
            if caught_up
            else (snapshot.payload["deltas"], snapshot.payload["xmin"])
        )
        return self._changes(session, copier, snapshot, since, blobs, progress)

    def _changes(
        self,
        session: Session,
        copier: Copier,
        snapshot: ComponentState,
        since: tuple[str | None, int | None],
        blobs: Blobs,
        progress: Progress,
    ) -> ComponentState:
        """What changed since a moment: the delta that is laid over the snapshot's rows, and the horizon."""
        overlay, xmin = since
        then = catalog_of(snapshot, blobs)
        now = catalogs.capture(session, self._schemas, since=then)
        base = Base(snapshot.payload["rows"], overlay, blobs)
        reader = DeltaReader(session, copier, base, xmin, trackable=then.same_database(now))
        deltas = reader.read(reverse(then, now).tables, blobs, progress)
        payload = self._payload(session, now, blobs) | {
            "deltas": save_deltas(deltas, blobs),
            "catchUp": overlay,
            "own": None,
        }
        summary = {
            "tables changed": len(deltas),
            "rows changed": sum(d.changed_rows for d in deltas if not d.rewritten),
        }
        return self._state(session, payload, summary)

    def plan(
        self,
        snapshot: ComponentState,
        checkpoint: ComponentState | None,
        policy: Policy,
        blobs: Blobs,
        ledger: LedgerWriter,
        progress: Progress,
    ) -> ComponentPlan:
        """The schema's difference as DDL and the rows' three-way merge."""
        then = catalog_of(snapshot, blobs)
        with self._reading() as (session, copier):
            now = catalogs.capture(session, self._schemas, since=then)
            types = {(r.oid, r.number): r for r in retyped(then, now)}
            unconvertible = frozenset(key for key, r in types.items() if not converts(session, r))
            reversal = reverse(then, now, unconvertible=unconvertible)
            moved = [table.scope for table in reversal.dropped if table.oid in snapshot.payload["outside"]]
            refusals = [
                *reversal.refusals,
                *(f"table {name} was moved here from a schema outside the snapshot" for name in moved),
            ]
            if refusals:
                raise UnsupportedError(
                    "This migration cannot be taken back: " + "; ".join(refusals),
                    component=self.spec.name,
                    next_step="Undo these by hand, then generate again",
                )
            check_owned(session, reversal, self.spec.name)
            changes = checkpoint or self.changes(session, copier, snapshot, blobs, progress)
            base = Base(snapshot.payload["rows"], changes.payload["catchUp"], blobs)
            situation = Situation(
                base=base,
                deltas=load_deltas(changes.payload["deltas"], blobs),
                reversal=reversal,
                retyped=types,
                unconvertible=unconvertible,
                since=Horizon(changes.payload["xmin"], changes.payload["own"]),
                attributed=checkpoint is not None,
                policy=policy,
            )
            planner = DataPlanner(Desk(self.spec.name, session, copier, situation, blobs, ledger, progress))
            source = {"rows": snapshot.payload["rows"], "catch_up": changes.payload["catchUp"]}
            steps = assemble(
                self.spec.name,
                reversal,
                planner,
                behind(session, snapshot.payload["sequences"], reversal.sequences),
                source,
            )
            return ComponentPlan(
                component=self.spec.name,
                fingerprint=now.fingerprint(),
                steps=steps,
                notes=(*reversal.notes, *_vouched(checkpoint)),
                payload={"catchUp": changes.payload["catchUp"]},
            )

    def fingerprint(self, snapshot: ComponentState, blobs: BlobReader) -> str:
        """Of the schema as it is now. Rows may change: the merge is computed from what it finds."""
        with self._reading() as (session, _):
            return catalogs.capture(session, self._schemas, since=catalog_of(snapshot, blobs)).fingerprint()

    def apply(self, step: Step, blobs: Blobs, notes: Notes, progress: Progress) -> StepOutcome:
        """Runs one step under the database's advisory lock."""
        state = "What was committed before stays; the step continues there"
        with mapped(self.spec.name, state, executing=True):
            session = self._open()
            with exclusive(session, self.spec.name):
                return Applier(self.spec.name, session, step, blobs, notes, progress, self._cancelled).run()

    def verify(
        self,
        snapshot: ComponentState,
        checkpoint: ComponentState | None,
        plan: ComponentPlan,
        ledger: Iterable[Json],
        blobs: Blobs,
        progress: Progress,
    ) -> list[Check]:
        """Schema, rows, checksums, foreign keys and sequences against the snapshot."""
        del checkpoint  # the plan names the deltas it was made from
        with self._reading() as (session, copier):
            then = catalog_of(snapshot, blobs)
            now = catalogs.capture(session, self._schemas, since=then)
            base = Base(snapshot.payload["rows"], plan.payload["catchUp"], blobs)
            verifier = Verifier(self.spec.name, session, copier, base, plan, blobs)
            return verifier.run(then, now, snapshot.payload["sequences"], ledger, progress)

    def soft_drops(self) -> list[SoftDrop]:
        """By the records that the objects bear, in all schemas."""
        with mapped(self.spec.name):
            return soft_drops(self._open(), self.spec.name)

    def drop_for_good(self, drop: SoftDrop) -> None:
        """Under the database's advisory lock, with a budget for locks."""
        with mapped(self.spec.name, "What was dropped for good before is gone; the rest is there"):
            drop_for_good(self._open(), drop, self._cancelled)

    def export(self, plan: ComponentPlan, blobs: BlobReader) -> Iterable[tuple[str, bytes]]:
        """``rollback.sql`` and its data files, for psql."""
        from rollback_provider.components.postgres.export import export_plan

        return export_plan(plan, blobs)

    def cancel(self) -> None:
        """Cancels the running statement and ends the copying workers."""
        self._cancelled.set()
        for copier in self._copiers:
            copier.cancel()
        if self._session is not None and not self._session.closed:
            self._session.cancel_safe(timeout=5)

    def close(self) -> None:
        """Closes the session, which releases its locks."""
        if self._session is not None:
            self._session.close()
            self._session = None
        self._cancelled.clear()

    @property
    def info(self) -> str:
        """The connection string; holds the password."""
        connection = self.spec.connection
        assert connection is not None  # noqa: S101  checked when built
        return conninfo(self._connections(connection))

    def _open(self) -> Session:
        if self._session is None or self._session.closed:
            self._session = open_session(self.info, self.spec.name)
        return self._session

    @contextmanager
    def _reading(self) -> Iterator[tuple[Session, Copier]]:
        with mapped(self.spec.name):
            session = self._open()
            refuse_running_migration(session, self._schemas, self.spec.name)
            tables = tables_in(session, self._schemas)
            check_readable(session, list(tables), self._schemas, self.spec.name)
            with reading(session, list(tables.values()), self.spec.name) as exported:
                copier = Copier(session, exported, self.info, self.spec.name)
                self._copiers.append(copier)
                try:
                    yield session, copier
                finally:
                    self._copiers.remove(copier)

    def _payload(self, session: Session, catalog: catalogs.Catalog, blobs: BlobWriter) -> Json:
        return {
            "catalog": blobs.put_blob(json.dumps(catalog.to_json()).encode()).digest,
            "fingerprint": catalog.fingerprint(),
            "xmin": current_xmin(session),
            "server": session.info.server_version,
            "sequences": sequence_values(
                session, [ident(sequence.schema, sequence.name) for sequence in catalog.sequences()]
            ),
        }

    def _state(self, session: Session, payload: Json, summary: dict[str, int]) -> ComponentState:
        return ComponentState(
            spec=self.spec, identity=identity_of(session), captured=utcnow(), payload=payload, summary=summary
        )


def catalog_of(state: ComponentState, blobs: BlobReader) -> catalogs.Catalog:
    """The catalog that a state holds."""
    return catalogs.Catalog.from_json(json.loads(blobs.get_blob(state.payload["catalog"])))


def _vouched(checkpoint: ComponentState | None) -> list[str]:
    """What a plan takes on somebody's word."""
    if checkpoint is None or checkpoint.payload["own"] is not None:
        return []
    rows = checkpoint.summary.get("rows changed", 0)
    said = f"all {rows:,} rows written between snapshot and checkpoint count as the migration's"
    return [f"{said}, on the word of whoever took the checkpoint that nobody else wrote"]
