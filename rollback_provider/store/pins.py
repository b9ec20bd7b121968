"""Pins: a pinned snapshot is never pruned."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from pydantic import ValidationError

from rollback_provider.core.base import Model
from rollback_provider.core.errors import AlreadyExistsError, IntegrityError, NotFoundError
from rollback_provider.core.model import utcnow
from rollback_provider.core.repository import Repository, Store

PREFIX = "pins/"


class Pin(Model):
    """Who keeps a snapshot, and why."""

    snapshot_id: str
    created: datetime
    actor: str
    reason: str = ""


def pin(store: Store, snapshot_id: str, *, actor: str, reason: str = "") -> None:
    """Keeps a snapshot with its checkpoints and rollbacks until it is unpinned. A pin that exists stays as it is.

    Raises NotFoundError where there is no such snapshot.
    """
    Repository(store).snapshot(snapshot_id)
    with suppress(AlreadyExistsError):
        document = Pin(snapshot_id=snapshot_id, created=utcnow(), actor=actor, reason=reason).to_json()
        store.create(f"{PREFIX}{snapshot_id}", document)
    try:
        Repository(store).snapshot(snapshot_id)
    except NotFoundError:  # pruned between the look and the pin
        unpin(store, snapshot_id)
        raise


def unpin(store: Store, snapshot_id: str) -> None:
    """Removes a pin; no error where there is none."""
    store.delete(f"{PREFIX}{snapshot_id}")


def pins(store: Store) -> list[Pin]:
    """All pins, by snapshot id."""
    found = (pin_of(store, name.removeprefix(PREFIX)) for name in store.names(PREFIX))
    return [each for each in found if each]


def pin_of(store: Store, snapshot_id: str) -> Pin | None:
    """The snapshot's pin; None where it has none."""
    name = f"{PREFIX}{snapshot_id}"
    try:
        return Pin.model_validate(store.read(name))
    except NotFoundError:
        return None
    except ValidationError as error:
        raise IntegrityError(f"{store.url}: {name} is not a pin") from error
