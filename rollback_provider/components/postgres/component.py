"""The PostgreSQL component: one database, or some of its schemas."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from rollback_provider.components.postgres.catalog.sql_text import ident
from rollback_provider.components.postgres.composing import Composer, Migration
from rollback_provider.components.postgres.copier import Copier
from rollback_provider.components.postgres.delta import DeltaReader, Horizon, current_xmin, whole_table
from rollback_provider.components.postgres.images import (
    Base,
    TableRows,
    load_deltas,
    save_deltas,
    save_rows,
)
from rollback_provider.components.postgres.planning.conversions import converts
from rollback_provider.components.postgres.planning.desk import Desk, Situation
from rollback_provider.components.postgres.planning.planner import DataPlanner
from rollback_provider.components.postgres.reverse import retyped, reverse
from rollback_provider.components.postgres.selection import Selection, in_part, names_in, part_of
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
from rollback_provider.components.postgres.steps import assemble
from rollback_provider.components.postgres.undo.before import keep, touched
from rollback_provider.components.postgres.undo.states import states
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

    def capture(self, blobs: BlobWriter, progress: Progress) -> ComponentState:
        """Schema, all rows, and sequences, under one snapshot of the database."""
        with self._reading() as (session, copier):
            catalog = catalogs.capture(session, self._schemas)
            tables = catalog.tables()
            extracts = [extract for table in tables for extract in whole_table(session, table, table)]
            copied = copier.run(extracts, blobs, progress, f"{self.spec.name}: copying rows")
            rows = [TableRows(table, tuple(copied[str(table.oid)].blocks)) for table in tables]
            outside = sorted(tables_in(session, None).keys() - {table.oid for table in tables})
            payload = self._payload(session, catalog, blobs) | {"rows": save_rows(rows, blobs), "outside": outside}
            return self._state(session, payload, {"tables": len(tables), "rows": sum(r.rows for r in rows)})

    def checkpoint(self, snapshot: ComponentState, blobs: Blobs, progress: Progress) -> ComponentState:
        """Catalog and changed rows since the snapshot."""
        with self._reading() as (session, copier):
            return self.changes(session, copier, snapshot, None, blobs, progress)

    def changes(
        self,
        session: Session,
        copier: Copier,
        snapshot: ComponentState,
        catch_up: ComponentState | None,
        blobs: Blobs,
        progress: Progress,
    ) -> ComponentState:
        """What changed in the current transaction's view since the snapshot, or since `catch_up`, a state of the same shape."""
        then = catalog_of(snapshot, blobs)
        now = catalogs.capture(session, self._schemas, since=then)
        catch_up_deltas = catch_up.payload["deltas"] if catch_up else snapshot.payload.get("catchUp")
        base = Base(snapshot.payload["rows"], catch_up_deltas, blobs)
        xmin = (catch_up or snapshot).payload["xmin"]
        reader = DeltaReader(session, copier, base, xmin, trackable=then.same_database(now))
        deltas = reader.read(reverse(then, now).tables, blobs, progress)
        payload = self._payload(session, now, blobs) | {
            "deltas": save_deltas(deltas, blobs),
            "catchUp": catch_up_deltas,
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
            selection = Selection.of(policy, then, now)
            target = selection.target
            types = {(r.oid, r.number): r for r in retyped(target, now)}
            unconvertible = frozenset(key for key, r in types.items() if not converts(session, r))
            whole = Base(snapshot.payload["rows"], None, blobs)
            reversal = selection.narrowed(reverse(target, now, unconvertible=unconvertible), whole)
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
            changes = checkpoint or self.changes(session, copier, snapshot, None, blobs, progress)
            base = Base(snapshot.payload["rows"], changes.payload["catchUp"], blobs)
            situation = Situation(
                base=base,
                deltas={
                    oid: delta
                    for oid, delta in load_deltas(changes.payload["deltas"], blobs).items()
                    if selection.merged is None or oid in selection.merged
                },
                reversal=reversal,
                retyped=types,
                unconvertible=unconvertible,
                since=Horizon.of(changes.payload),
                attributed=checkpoint is not None,
                policy=policy,
                rows=selection.rows,
                loaded=Base(loaded["rows"], loaded["catch_up"], blobs)
                if (loaded := changes.payload.get("loaded"))
                else None,
            )
            planner = DataPlanner(Desk(self.spec.name, session, copier, situation, blobs, ledger, progress))
            source = {"rows": snapshot.payload["rows"], "catch_up": changes.payload["catchUp"]}
            sequences = selection.sequences(then, snapshot.payload["sequences"])
            steps = assemble(self.spec.name, reversal, planner, behind(session, sequences, reversal.sequences), source)
            return ComponentPlan(
                component=self.spec.name,
                fingerprint=now.fingerprint(),
                steps=steps,
                notes=(*reversal.notes, *_vouched(checkpoint)),
                payload=source | selection.payload(reversal, base, sequences, blobs),
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
            base = Base(plan.payload["rows"], plan.payload["catch_up"], blobs)
            compared = plan.payload.get("compared")
            if compared:
                base = Base(compared["rows"], plan.payload["catch_up"], blobs)
                then, now = part_of(then, compared["names"]), part_of(now, compared["seen"])
            verifier = Verifier(self.spec.name, session, copier, base, plan, snapshot.payload["xmin"], blobs)
            sequences = compared["sequences"] if compared else snapshot.payload["sequences"]
            checks = verifier.run(then, now, sequences, ledger, progress)
            return in_part(checks, compared) if compared else checks

    def shares(self, other: ComponentSpec) -> bool:
        """Whether both look at some schema."""
        theirs = other.options.get("schemas")
        return self._schemas is None or theirs is None or bool(set(self._schemas) & set(theirs))

    def compose(
        self,
        earlier: tuple[ComponentState, ComponentState],
        later: tuple[ComponentState, ComponentState],
        policy: Policy,
        blobs: Blobs,
        ledger: LedgerWriter,
    ) -> tuple[ComponentState, ComponentState]:
        """The rows of both, put together from the store."""
        first, second = (
            Migration(*states, (catalog_of(states[0], blobs), catalog_of(states[1], blobs)), blobs)
            for states in (earlier, later)
        )
        rows, changes = Composer(self.spec.name, first, second, policy, blobs, ledger).payload()
        return (
            earlier[0].model_copy(update={"payload": earlier[0].payload | {"rows": rows}}),
            later[1].model_copy(update={"payload": later[1].payload | changes}),
        )

    def scopes(self, snapshot: ComponentState, blobs: BlobReader) -> Iterable[str]:
        """Objects of the snapshot and of now that are no part of others: tables, views, types, functions."""
        then = catalog_of(snapshot, blobs)
        with self._reading() as (session, _):
            return sorted(names_in(then) | names_in(catalogs.capture(session, self._schemas, since=then)))

    def before_rollback(
        self, snapshot: ComponentState, plan: ComponentPlan, blobs: Blobs, progress: Progress
    ) -> ComponentState:
        """Catalog, and what has changed since the snapshot in the tables that the plan touches."""
        with self._reading() as (session, copier):
            then = catalog_of(snapshot, blobs)
            now = catalogs.capture(session, self._schemas, since=then)
            base = Base(snapshot.payload["rows"], snapshot.payload.get("catchUp"), blobs)
            reader = DeltaReader(session, copier, base, snapshot.payload["xmin"], trackable=then.same_database(now))
            kept = keep(session, copier, reader, touched(reverse(then, now), plan), blobs, progress)
            outside = sorted(tables_in(session, None).keys() - {table.oid for table in now.tables()})
            payload = self._payload(session, now, blobs) | kept | {"outside": outside}
            return self._state(session, payload, {})

    def undone(
        self,
        snapshot: ComponentState,
        before: ComponentState,
        plan: ComponentPlan,
        notes: Callable[[str], Sequence[Json]],
        blobs: Blobs,
        progress: Progress,
    ) -> tuple[ComponentState, ComponentState]:
        """The rows that were kept, with what the transactions of the rollback have replaced laid over them."""
        pairs = [(state, catalog_of(state, blobs)) for state in (snapshot, before)]
        with self._reading() as (session, _):
            return states(session, pairs[0], pairs[1], plan, notes, blobs, progress)

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
            check_readable(session, list(tables), self.spec.name)
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
    if checkpoint is None or not checkpoint.payload.get("vouched", checkpoint.payload["own"] is None):
        return []
    rows = checkpoint.summary.get("rows changed", 0)
    said = f"all {rows:,} rows written between snapshot and checkpoint count as the migration's"
    return [f"{said}, on the word of whoever took the checkpoint that nobody else wrote"]
