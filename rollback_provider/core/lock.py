"""Who owns a component. A rollback that has begun owns it until it is finished or abandoned, whether its worker lives or not.

There is no expiry: a half-done rollback must not be interleaved with another one just because time has passed. There is
no release either: a lock is held for as long as the journal of its rollback is open, so a worker that dies after the
last step leaves nothing locked.

Each attempt takes the next number of the component. Numbers can be created once, so of two that come at the same time
one must look again.
"""

from __future__ import annotations

import hashlib

from rollback_provider.core.errors import AlreadyExistsError, LockedError
from rollback_provider.core.journal import is_open
from rollback_provider.core.repository import Store


def owner_of(store: Store, identity: str) -> str | None:
    """Id of the unfinished rollback that owns the component of this identity, or None."""
    return _owner(store, _numbers(store, identity))


def acquire(store: Store, identity: str, rollback_id: str, component: str) -> None:
    """Takes a component for a rollback whose journal is open; taking it again for the same one is fine. Raises LockedError."""
    while True:
        numbers = _numbers(store, identity)
        owner = _owner(store, numbers)
        if owner not in {None, rollback_id}:
            raise LockedError(
                f"Rollback {owner} has begun and is not finished",
                component=component,
                state="This rollback has changed nothing",
                next_step=f"Finish the other: rollbackctl execute {owner}; or give it up: rollbackctl abandon {owner}",
            )
        number = int(numbers[-1].rpartition("/")[2]) + 1 if numbers else 1
        try:
            store.create(f"{_prefix(identity)}{number:08d}", {"rollbackId": rollback_id, "component": component})
        except AlreadyExistsError:
            continue
        return


def _owner(store: Store, numbers: list[str]) -> str | None:
    if not numbers:
        return None
    owner = str(store.read(numbers[-1])["rollbackId"])
    return owner if is_open(store, owner) else None


def _numbers(store: Store, identity: str) -> list[str]:
    return list(store.names(_prefix(identity)))


def _prefix(identity: str) -> str:
    return f"locks/{hashlib.sha256(identity.encode()).hexdigest()}/"
