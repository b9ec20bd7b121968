"""What a change of a zone means to those who have asked already."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rollback_provider.resources import Change, Fields


def cache_notes(
    changes: Iterable[Change], seconds: Callable[[Fields], int] = lambda fields: int(fields["ttl"])
) -> tuple[str, ...]:
    """How long caches keep what the migration has published, for each record set that goes or changes.

    :param seconds: gives how long they keep a record set
    """
    return tuple(
        f"{change.address}: caches may answer with what is there now for another {seconds(change.now)} seconds"
        for change in changes
        if change.now is not None
    )
