"""A database as one transaction sees it, and the states that are made of it: what a snapshot and a checkpoint hold."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rollback_provider.components.postgres import catalog as catalogs
from rollback_provider.components.postgres.access import tables_in, tell_owners
from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.catalog.sql_text import ident
from rollback_provider.components.postgres.copier import Copier
from rollback_provider.components.postgres.delta import DeltaReader
from rollback_provider.components.postgres.horizon import current_xmin
from rollback_provider.components.postgres.images import save_deltas, save_rows
from rollback_provider.components.postgres.reverse import reverse
from rollback_provider.components.postgres.sequences import sequence_values
from rollback_provider.components.postgres.session import Session, identity_of
from rollback_provider.components.postgres.taking import EarlierCopy, take_rows, types_of
from rollback_provider.components.postgres.undo.before import keep, touched
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobReader, Blobs, Progress
from rollback_provider.core.model import ComponentPlan, ComponentSpec, ComponentState, utcnow


class View:
    """What one transaction sees of a component's database.

    :param copier: reads in the same transaction's snapshot
    """

    def __init__(self, spec: ComponentSpec, session: Session, copier: Copier, blobs: Blobs, progress: Progress) -> None:
        self.spec = spec
        self.session = session
        self.copier = copier
        self.blobs = blobs
        self.progress = progress

    def catalog(self, since: catalogs.Catalog | None = None) -> catalogs.Catalog:
        """The schema.

        :param since: what was there before, whose objects are found also where they were soft-dropped
        """
        return catalogs.capture(self.session, schemas_of(self.spec), since=since)

    def same_types(self, then: catalogs.Catalog, now: catalogs.Catalog) -> bool:
        """Whether all of the users' types are known to be what they were."""
        return schemas_of(self.spec) is None and types_of(then) == types_of(now)

    def capture(self, earlier: ComponentState | None = None) -> ComponentState:
        """Schema, all rows, and sequences. Of tables in which little has changed since an earlier state only the changes are copied."""
        catalog = self.catalog()
        tell_owners(self.session, catalog, self.spec.name, self.progress)
        tables = catalog.tables()
        what = f"{self.spec.name}: copying rows"
        copy = self._earlier_copy(earlier, catalog) if earlier else None
        taken = take_rows(self.session, self.copier, tables, copy, self.blobs, self.progress, what)
        payload = self._payload(catalog) | {
            "rows": save_rows(taken.rows, self.blobs),
            "deltas": save_deltas(taken.deltas, self.blobs) if taken.deltas else None,
            "outside": self._outside(catalog),
        }
        summary = {"tables": len(tables), "rows": taken.count}
        return self._state(payload, summary).model_copy(update={"blobs": taken.reused})

    def catch_up(self, snapshot: ComponentState) -> ComponentState:
        """What changed since the rows of the snapshot were copied, be it before or after it was sealed: to be laid over these rows."""
        return self._changes(snapshot, None, None)

    def changes(self, snapshot: ComponentState, *, caught_up: ComponentState | None = None) -> ComponentState:
        """What changed since the snapshot, or since it was caught up."""
        since = (caught_up or snapshot).payload
        return self._changes(snapshot, since["deltas"], since["xmin"])

    def changes_of_base(self, snapshot: ComponentState, checkpoint: ComponentState) -> ComponentState:
        """What has changed since right before the migration, by whomever."""
        return self._changes(snapshot, checkpoint.payload["catchUp"], None)

    def before_rollback(self, snapshot: ComponentState, plan: ComponentPlan) -> ComponentState:
        """Schema, and what has changed since the snapshot in the tables that the plan touches."""
        then = catalog_of(snapshot, self.blobs)
        now = self.catalog(since=then)
        base = Base(snapshot.payload["rows"], snapshot.payload["deltas"], self.blobs)
        trackable = then.same_history(now)
        reader = DeltaReader(self.session, self.copier, base, snapshot.payload["xmin"], trackable=trackable)
        changes = touched(reverse(then, now), plan)
        kept = keep(self.session, self.copier, reader, changes, self.blobs, self.progress)
        return self.state_of(now, kept | {"outside": self._outside(now)}, {})

    def state_of(self, catalog: catalogs.Catalog, parts: Json, summary: dict[str, int]) -> ComponentState:
        """A state of this schema, with what else it is to hold."""
        return self._state(self._payload(catalog) | parts, summary)

    def _changes(self, snapshot: ComponentState, overlay: str | None, xmin: int | None) -> ComponentState:
        """What changed since a moment.

        :param overlay: the delta that is laid over the snapshot's rows to make them those of that moment
        :param xmin: its horizon; None for the moment when the rows were copied
        """
        then = catalog_of(snapshot, self.blobs)
        now = self.catalog(since=then)
        base = Base(snapshot.payload["rows"], overlay, self.blobs)
        reader = DeltaReader(self.session, self.copier, base, xmin, trackable=then.same_history(now))
        deltas = reader.read(reverse(then, now).tables, self.blobs, self.progress)
        payload = self._payload(now) | {
            "deltas": save_deltas(deltas, self.blobs),
            "catchUp": overlay,
            "own": None,
        }
        summary = {
            "tables changed": len(deltas),
            "rows changed": sum(d.changed_rows for d in deltas if not d.rewritten),
        }
        return self._state(payload, summary)

    def _earlier_copy(self, earlier: ComponentState, now: catalogs.Catalog) -> EarlierCopy | None:
        then = catalog_of(earlier, self.blobs)
        if not then.same_history(now):
            return None
        same_types = self.same_types(then, now)
        return EarlierCopy(Base(earlier.payload["rows"], None, self.blobs), same_types=same_types)

    def _outside(self, catalog: catalogs.Catalog) -> list[int]:
        return sorted(tables_in(self.session, None).keys() - {table.oid for table in catalog.tables()})

    def _payload(self, catalog: catalogs.Catalog) -> Json:
        names = [ident(sequence.schema, sequence.name) for sequence in catalog.sequences()]
        return {
            "catalog": self.blobs.put_blob(json.dumps(catalog.to_json()).encode()).digest,
            "fingerprint": catalog.fingerprint(),
            "xmin": current_xmin(self.session),
            "server": self.session.info.server_version,
            "sequences": sequence_values(self.session, names),
        }

    def _state(self, payload: Json, summary: dict[str, int]) -> ComponentState:
        return ComponentState(
            spec=self.spec, identity=identity_of(self.session), captured=utcnow(), payload=payload, summary=summary
        )


def schemas_of(spec: ComponentSpec) -> Sequence[str] | None:
    """The schemas that a component looks at; None for all of the users'."""
    schemas: Sequence[str] | None = spec.options.get("schemas")
    return schemas


def catalog_of(state: ComponentState, blobs: BlobReader) -> catalogs.Catalog:
    """The catalog that a state holds."""
    return catalogs.Catalog.from_json(json.loads(blobs.get_blob(state.payload["catalog"])))
