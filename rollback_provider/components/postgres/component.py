"""The PostgreSQL component: one database, or some of its schemas."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import ClassVar

from rollback_provider.clients.migration_tools import parse_tool
from rollback_provider.clients.postgres import conninfo
from rollback_provider.components.postgres import catalog as catalogs
from rollback_provider.components.postgres.access import check_readable, refuse_running_migration, tables_in
from rollback_provider.components.postgres.applying.applier import Applier
from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.composing import compose
from rollback_provider.components.postgres.contention import contention
from rollback_provider.components.postgres.copier import Copier
from rollback_provider.components.postgres.downgrade.half import Half
from rollback_provider.components.postgres.downgrade.planning import plan_downgrade
from rollback_provider.components.postgres.downgrade.repairing import HALVES, notes_within, planned
from rollback_provider.components.postgres.downgrade.tool import agreed, required_tool, tool_checks, with_versions
from rollback_provider.components.postgres.planning.rollback import plan_rollback
from rollback_provider.components.postgres.selection import in_part, names_in, part_of
from rollback_provider.components.postgres.session import (
    Session,
    exclusive,
    identity_of,
    mapped,
    open_session,
    reading,
)
from rollback_provider.components.postgres.soft_drop.acceptance import drop_for_good, soft_drops
from rollback_provider.components.postgres.tracking import tracker
from rollback_provider.components.postgres.tracking.triggers import mark_of
from rollback_provider.components.postgres.undo.states import states
from rollback_provider.components.postgres.verifying.verifier import Verifier
from rollback_provider.components.postgres.view import View, catalog_of, schemas_of
from rollback_provider.core.base import Json
from rollback_provider.core.capturer import RecordingBlobs
from rollback_provider.core.component import BlobReader, Blobs, ConnectionResolver, Notes, Progress
from rollback_provider.core.errors import ConfigurationError, UnsupportedError
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import (
    ComponentPlan,
    ComponentSpec,
    ComponentState,
    Policy,
    SoftDrop,
    Step,
    StepOutcome,
)
from rollback_provider.core.rehearsal.copies import Copies, Place
from rollback_provider.core.verification import Check


class PostgresComponent:
    """A :class:`~rollback_provider.core.component.Component` for PostgreSQL 14 and later.

    Options: ``schemas``, a list of schema names; left out, all user schemas. ``migration_tool``, how the project's own migration
    tool is called (:class:`~rollback_provider.clients.migration_tools.ToolOptions`). Needs SELECT on every table to take a
    snapshot, and ownership of what the migration changed to roll it back.
    """

    kind: ClassVar[str] = "postgres"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        if not spec.connection:
            raise ConfigurationError("A postgres component needs a `connection`", component=spec.name)
        if unknown := set(spec.options) - {"migration_tool", "schemas"}:
            raise ConfigurationError(f"Unknown options: {', '.join(sorted(unknown))}", component=spec.name)
        schemas = spec.options.get("schemas")
        if schemas is not None and (not isinstance(schemas, list) or not all(isinstance(s, str) for s in schemas)):
            raise ConfigurationError("`schemas` must be a list of names", component=spec.name)
        if "migration_tool" in spec.options:
            parse_tool(spec.options["migration_tool"], spec.name)
        self.spec = spec
        self._connections = connections
        self._session: Session | None = None
        self._copiers: list[Copier] = []
        self._cancelled = threading.Event()

    def identity(self) -> str:
        """Cluster and database."""
        with mapped(self.spec.name):
            return identity_of(self._open())

    def capture(self, blobs: Blobs, progress: Progress) -> ComponentState:
        """Schema, all rows, and sequences, under one snapshot of the database, and where the migration tool stands."""
        with self._viewing(blobs, progress) as view:
            return with_versions(view.capture(), view, self._connections)

    def capture_since(self, earlier: ComponentState, blobs: Blobs, progress: Progress) -> ComponentState:
        """The same; of tables in which little has changed since an earlier state only the changes are copied."""
        with self._viewing(blobs, progress) as view:
            return with_versions(view.capture(earlier), view, self._connections)

    def checkpoint(self, snapshot: ComponentState, blobs: Blobs, progress: Progress) -> ComponentState:
        """Catalog and changed rows since the snapshot."""
        with self._viewing(blobs, progress) as view:
            return view.changes(snapshot)

    def plan(
        self,
        snapshot: ComponentState,
        checkpoint: ComponentState | None,
        policy: Policy,
        blobs: Blobs,
        ledger: LedgerWriter,
        progress: Progress,
    ) -> ComponentPlan:
        """The schema's difference as DDL and the rows' three-way merge; where the policy says so, the tool's downgrade before it."""
        with self._viewing(blobs, progress) as view:
            tracker.refuse_tracked(view.session, self.spec.name)
            if self.spec.name in policy.downgrade:
                return plan_downgrade(
                    view, required_tool(self.spec, self._connections), snapshot, checkpoint, policy, ledger
                )
            return plan_rollback(view, snapshot, checkpoint, policy, ledger)

    def fingerprint(self, snapshot: ComponentState, plan: ComponentPlan, blobs: BlobReader) -> str:
        """Of the schema as it is now. Rows may change: the merge is computed from what it finds."""
        return self._catalog(catalog_of(snapshot, blobs)).fingerprint()

    def apply(self, step: Step, blobs: Blobs, notes: Notes, progress: Progress) -> StepOutcome:
        """Runs one step under the database's advisory lock."""
        state = "What was committed before stays; the step continues there"
        with mapped(self.spec.name, state, executing=True):
            session = self._open()
            with exclusive(session, self.spec.name):
                if step.payload["mode"] in HALVES:
                    recorded = RecordingBlobs(blobs)
                    viewing = partial(self._viewing, recorded, progress)
                    tool = required_tool(self.spec, self._connections)
                    half = Half(
                        self.spec.name, tool, session, viewing, step, recorded, notes, progress, self._cancelled
                    )
                    return HALVES[step.payload["mode"]](half)
                return Applier(self.spec.name, session, step, blobs, notes, progress, self._cancelled).run()

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
        """Schema, rows, checksums, foreign keys and sequences against the snapshot."""
        del checkpoint  # the plan names the deltas it was made from
        if repair := plan.payload.get("downgrade"):
            done = notes(repair)
            plan, notes = planned(done, blobs) or plan, notes_within(done)
        with self._viewing(blobs, progress) as view:
            then = catalog_of(snapshot, blobs)
            now = view.catalog(since=then)
            rows, sequences = plan.payload["rows"], snapshot.payload["sequences"]
            same_types = view.same_types(then, now)
            compared = plan.payload.get("compared")
            if compared:
                rows, sequences = compared["rows"], compared["sequences"]
                then, now = part_of(then, compared["names"]), part_of(now, compared["seen"])
            base = Base(rows, plan.payload["catch_up"], blobs)
            verifier = Verifier(
                self.spec.name,
                view.session,
                view.copier,
                base,
                plan,
                notes,
                blobs,
                trackable=then.same_history(now),
                same_types=same_types,
            )
            checks = verifier.run(then, now, sequences, ledger, progress)
            if compared:
                return in_part(checks, compared)
            return [*checks, *tool_checks(view, snapshot, self._connections)]

    def shares(self, other: ComponentSpec) -> bool:
        """Whether both look at some schema."""
        mine, theirs = schemas_of(self.spec), schemas_of(other)
        return mine is None or theirs is None or bool(set(mine) & set(theirs))

    def compose(
        self,
        earlier: tuple[ComponentState, ComponentState],
        later: tuple[ComponentState, ComponentState],
        policy: Policy,
        blobs: Blobs,
        ledger: LedgerWriter,
    ) -> tuple[ComponentState, ComponentState]:
        """The rows of both, put together from the store."""
        return compose(self.spec.name, earlier, later, policy, blobs, ledger)

    def scopes(self, snapshot: ComponentState, blobs: BlobReader) -> Iterable[str]:
        """Objects of the snapshot and of now that are no part of others: tables, views, types, functions."""
        then = catalog_of(snapshot, blobs)
        return sorted(names_in(then) | names_in(self._catalog(then)))

    def before_rollback(
        self, snapshot: ComponentState, plan: ComponentPlan, blobs: Blobs, progress: Progress
    ) -> ComponentState:
        """Catalog, and what has changed since the snapshot in the tables that the plan touches."""
        if "downgrade" in plan.payload:
            return snapshot  # cannot be undone
        with self._viewing(blobs, progress) as view:
            return view.before_rollback(snapshot, plan)

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
        if "downgrade" in plan.payload:
            raise UnsupportedError(
                "What the downgrade of a migration tool has done cannot be undone exactly",
                component=self.spec.name,
                next_step="Run the tool's upgrade again",
            )
        with self._viewing(blobs, progress) as view:
            return states(view, snapshot, before, plan, notes)

    def contention(self, longest: float) -> list[str]:
        """Sessions with strong or awaited locks, or long transactions, on tables in scope."""
        with mapped(self.spec.name):
            return contention(self._open(), schemas_of(self.spec), longest, self.spec.name)

    def track(
        self, snapshot: ComponentState, mark: str, whole: Sequence[str], blobs: Blobs, progress: Progress
    ) -> ComponentState:
        """Triggers log what sessions with the mark write, and the snapshot is caught up."""
        with mapped(self.spec.name, "Nothing is tracked; do not migrate yet"):
            tracker.begin(self._open(), self.spec, mark, whole)
        try:
            with self._viewing(blobs, progress) as view:
                return tracker.caught_up(view, snapshot)
        except BaseException:
            with suppress(Exception):
                self.untrack(mark)
            raise

    def tracked(
        self, snapshot: ComponentState, started: ComponentState, mark: str, blobs: Blobs, progress: Progress
    ) -> ComponentState:
        """Catalog, and the rows that the log tells to be the migration's."""
        with mapped(self.spec.name, "The log of the migration's writes is still in the database"):
            found = tracker.end(self._open(), mark, self.spec.name)
        with self._viewing(blobs, progress) as view:
            return tracker.changes(view, snapshot, started, found)

    def tracked_mark(self) -> str | None:
        """The snapshot whose migration is tracked."""
        with mapped(self.spec.name):
            return mark_of(self._open())

    def untrack(self, mark: str) -> None:
        """Drops triggers, log and schema."""
        with mapped(self.spec.name, "The schema rollback_tracking is left in the database"):
            tracker.remove(self._open(), mark, self.spec.name)

    def versions(self) -> tuple[str, ...]:
        """By the tool and by its history table, which must agree."""
        with mapped(self.spec.name):
            return agreed(self._open(), required_tool(self.spec, self._connections), self.spec)

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

        if "downgrade" in plan.payload:
            raise UnsupportedError(
                "What a downgrade leaves to do is only known when it has run",
                component=self.spec.name,
                next_step="Generate without the downgrade, and export that",
            )
        return export_plan(plan, blobs)

    def copies(
        self, snapshot: ComponentState, place: Place, blobs: Blobs, progress: Progress
    ) -> AbstractContextManager[Copies]:
        """Databases on a server that is given or started here."""
        from rollback_provider.components.postgres.rehearsal.copies import copies

        return copies(self.spec, snapshot, place, blobs, progress)

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

    def _catalog(self, since: catalogs.Catalog) -> catalogs.Catalog:
        with self._reading() as (session, _):
            return catalogs.capture(session, schemas_of(self.spec), since=since)

    @contextmanager
    def _viewing(self, blobs: Blobs, progress: Progress) -> Iterator[View]:
        with self._reading() as (session, copier):
            yield View(self.spec, session, copier, blobs, progress)

    @contextmanager
    def _reading(self) -> Iterator[tuple[Session, Copier]]:
        with mapped(self.spec.name):
            session = self._open()
            refuse_running_migration(session, schemas_of(self.spec), self.spec.name)
            tables = tables_in(session, schemas_of(self.spec))
            check_readable(session, list(tables), schemas_of(self.spec), self.spec.name)
            with reading(session, list(tables.values()), self.spec.name) as exported:
                copier = Copier(session, exported, self.info, self.spec.name)
                self._copiers.append(copier)
                try:
                    yield session, copier
                finally:
                    self._copiers.remove(copier)
