"""Typed documents over the store: snapshots, checkpoints, plans, records, and what their names look like.

Object names, relative to the store's root::

    snapshots/<snapshot id>                       sealed, create-only
    checkpoints/<snapshot id>/<checkpoint id>     sealed, create-only
    decisions/<snapshot id>/<decision id>         sealed, create-only
    verifications/<snapshot id>/<verification id> sealed, create-only
    acceptances/<snapshot id>                     create-only
    rehearsals/<snapshot id>/<rehearsal id>       create-only
    certificates/<snapshot id>/<certificate id>   create-only
    rollbacks/<rollback id>/plan                  sealed, create-only
    rollbacks/<rollback id>/journal/<lane>/<number>
                                                  create-only, numbered from 00000001 without a gap; a lane ``component-<name>`` for
                                                  each component, and ``rollback`` for the whole
    locks/<sha256 of identity>/<number>           create-only, numbered likewise: the last one names the rollback that took the
                                                  component; it owns it as long as its journal is open

Ids end in the first twelve digits of the document's digest: an id names its content, so a swapped document is noticed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from rollback_provider.core.base import Json, Model
from rollback_provider.core.component import Blobs
from rollback_provider.core.decision import Decision
from rollback_provider.core.errors import IntegrityError, NotFoundError
from rollback_provider.core.model import Acceptance, Checkpoint, Plan, Snapshot
from rollback_provider.core.verification import MigrationVerification


class Store(Blobs, Protocol):
    """A snapshot store: content-addressed blobs and named JSON documents. See :mod:`rollback_provider.store` for the format."""

    url: str
    """Where it is, without credentials."""

    def create(self, name: str, document: Json) -> None:
        """Writes a sealed document; exactly one of several writers wins. Raises AlreadyExistsError, StoreUnavailableError."""
        ...

    def read(self, name: str) -> Json:
        """Reads a document and checks its seal. Raises NotFoundError, IntegrityError, FormatVersionError, StoreUnavailableError."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """Names of all documents under `prefix` (which ends in a slash), sorted."""
        ...

    def delete(self, name: str) -> None:
        """Removes a document; no error where it is gone already."""
        ...


def digest_of(document: Any) -> str:
    """sha256 of a JSON value's canonical form: sorted keys, no spaces, UTF-8."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def slug(label: str) -> str:
    """What an id begins with: a label as people know it, in letters that names are made of."""
    return (re.sub(r"[^A-Za-z0-9.-]+", "-", label).strip("-.") or "unnamed")[:80]


def make_id(label: str, created: datetime, document: Json) -> str:
    """An id that people can read and that names its content: ``orders-2026-11-20261123T151101Z-3f9ac2b1e0d4``."""
    body = {key: value for key, value in document.items() if key not in {"id", "rollbackId"}}
    return f"{slug(label)}-{created:%Y%m%dT%H%M%SZ}-{digest_of(body)[:12]}"


M = TypeVar("M", bound=Model)
S = TypeVar("S", Snapshot, Checkpoint, Decision, MigrationVerification, Plan)


def parse(model: type[M], document: Json, what: str) -> M:
    """A stored document as a record. Raises IntegrityError where it is of another shape, however well it is sealed."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise IntegrityError(
            f"{what} is not of the shape that this version writes ({error.error_count()} problems)"
        ) from error


class Repository:
    """Loads and saves the sealed records."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Seals a snapshot. Raises AlreadyExistsError."""
        self.store.create(f"snapshots/{snapshot.id}", snapshot.to_json())

    def snapshot(self, snapshot_id: str) -> Snapshot:
        """Raises NotFoundError, IntegrityError, FormatVersionError."""
        return self._load(Snapshot, f"snapshots/{snapshot_id}", snapshot_id, "snapshot")

    def snapshot_ids(self) -> list[str]:
        """Ids of all sealed snapshots."""
        return [name.removeprefix("snapshots/") for name in self.store.names("snapshots/")]

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Seals a checkpoint. Raises AlreadyExistsError."""
        self.store.create(f"checkpoints/{checkpoint.snapshot_id}/{checkpoint.id}", checkpoint.to_json())

    def checkpoint(self, snapshot_id: str, checkpoint_id: str) -> Checkpoint:
        """Raises NotFoundError, IntegrityError, FormatVersionError."""
        return self._load(Checkpoint, f"checkpoints/{snapshot_id}/{checkpoint_id}", checkpoint_id, "checkpoint")

    def checkpoints(self, snapshot_id: str) -> list[Checkpoint]:
        """All checkpoints of a snapshot, oldest first."""
        prefix = f"checkpoints/{snapshot_id}/"
        found = [self.checkpoint(snapshot_id, name.removeprefix(prefix)) for name in self.store.names(prefix)]
        return sorted(found, key=lambda checkpoint: checkpoint.created)

    def save_decision(self, decision: Decision) -> None:
        """Writes down a decision about a migration. Raises AlreadyExistsError."""
        self.store.create(f"decisions/{decision.snapshot_id}/{decision.id}", decision.to_json())

    def decisions(self, snapshot_id: str) -> list[Decision]:
        """All decisions about a snapshot's migration, oldest first."""
        names = list(self.store.names(f"decisions/{snapshot_id}/"))
        found = [self._load(Decision, name, name.rpartition("/")[2], "decision") for name in names]
        return sorted(found, key=lambda decision: decision.created)

    def save_verification(self, verification: MigrationVerification) -> None:
        """Seals the result of a migration's checks. Raises AlreadyExistsError."""
        self.store.create(f"verifications/{verification.snapshot_id}/{verification.id}", verification.to_json())

    def verifications(self, snapshot_id: str) -> list[MigrationVerification]:
        """All results of a migration's checks, oldest first."""
        prefix = f"verifications/{snapshot_id}/"
        names = [name.removeprefix(prefix) for name in self.store.names(prefix)]
        found = [self._load(MigrationVerification, prefix + name, name, "verification") for name in names]
        return sorted(found, key=lambda verification: verification.created)

    def save_acceptance(self, acceptance: Acceptance) -> None:
        """Writes down that a migration stays. Raises AlreadyExistsError."""
        self.store.create(f"acceptances/{acceptance.snapshot_id}", acceptance.to_json())

    def acceptance(self, snapshot_id: str) -> Acceptance | None:
        """Whether, when and by whom the snapshot's migration was accepted; None where it was not."""
        try:
            document = self.store.read(f"acceptances/{snapshot_id}")
        except NotFoundError:
            return None
        return parse(Acceptance, document, f"The acceptance of {snapshot_id!r}")

    def accepted_ids(self) -> list[str]:
        """Ids of all snapshots whose migration was accepted."""
        return [name.removeprefix("acceptances/") for name in self.store.names("acceptances/")]

    def save_plan(self, plan: Plan) -> None:
        """Seals a plan. Raises AlreadyExistsError."""
        self.store.create(f"rollbacks/{plan.rollback_id}/plan", plan.to_json())

    def plan(self, rollback_id: str) -> Plan:
        """Raises NotFoundError, IntegrityError, FormatVersionError."""
        return self._load(Plan, f"rollbacks/{rollback_id}/plan", rollback_id, "rollback")

    def rollback_ids(self) -> list[str]:
        """Ids of all rollbacks that have a plan."""
        return [
            name.split("/")[1]
            for name in self.store.names("rollbacks/")
            if name.count("/") == 2 and name.endswith("/plan")
        ]

    def _load(self, model: type[S], name: str, wanted: str, what: str) -> S:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", wanted):
            raise NotFoundError(f"{wanted!r} is not the id of a {what}")
        try:
            document = self.store.read(name)
        except NotFoundError as error:
            raise NotFoundError(f"There is no {what} {wanted!r} in {self.store.url}") from error
        record = parse(model, document, f"The {what} {wanted!r}")
        named = record.rollback_id if isinstance(record, Plan) else record.id
        if named != wanted or not wanted.endswith(make_id("", record.created, document).rsplit("-", 1)[1]):
            raise IntegrityError(f"The {what} stored as {wanted!r} is not the one that was sealed under this id")
        return record
