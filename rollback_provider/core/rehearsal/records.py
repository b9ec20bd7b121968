"""Documents that belong to a snapshot and are looked up by their own id: ``rehearsals/<snapshot id>/<id>``, and likewise certificates."""

from __future__ import annotations

from typing import TypeVar

from rollback_provider.core.errors import IntegrityError, NotFoundError
from rollback_provider.core.rehearsal.model import Kept
from rollback_provider.core.repository import Store, make_id, parse

K = TypeVar("K", bound=Kept)


def names_under(store: Store, prefix: str) -> list[str]:
    """Ids of all records of a kind."""
    return [name.rpartition("/")[2] for name in store.names(prefix)]


def load_under(store: Store, prefix: str, wanted: str, model: type[K], what: str) -> K:
    """A record by its id. Raises NotFoundError, IntegrityError."""
    name = next((each for each in store.names(prefix) if each.rpartition("/")[2] == wanted), None)
    if name is None:
        raise NotFoundError(f"There is no {what} {wanted!r} in {store.url}")
    return load_named(store, name, model, what)


def load_named(store: Store, name: str, model: type[K], what: str) -> K:
    """A record by its name in the store. Raises NotFoundError, IntegrityError."""
    wanted = name.rpartition("/")[2]
    document = store.read(name)
    record = parse(model, document, f"The {what} {wanted!r}")
    if record.id != wanted or not wanted.endswith(make_id("", record.created, document).rsplit("-", 1)[1]):
        raise IntegrityError(f"The {what} stored as {wanted!r} is not the one that was sealed under this id")
    return record
