"""What a change of a zone means to those who have asked already."""

from __future__ import annotations

from collections.abc import Iterable

from rollback_provider.resources import Change


def cache_notes(changes: Iterable[Change]) -> tuple[str, ...]:
    """How long caches keep what the migration has published, for each record set that goes or changes."""
    return tuple(
        f"{change.address}: caches may answer with what is there now for another {change.now['ttl']} seconds"
        for change in changes
        if change.now is not None
    )
