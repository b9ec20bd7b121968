"""The snapshot store: sealed documents and content-addressed blobs on local files, S3 or in memory.

The format, what holds of it and what it protects against: ``docs/snapshot-format.md``.
"""

from __future__ import annotations

from rollback_provider.store.connection import CONNECTION_TYPE, store_from_connection
from rollback_provider.store.opening import open_store
from rollback_provider.store.pins import Pin, pin, pins, unpin
from rollback_provider.store.retention import DEFAULT_GRACE, KeptSnapshot, PruneReport, prune
from rollback_provider.store.snapshot_store import MAX_BLOB_SIZE, SnapshotStore, StoredBlob

__all__ = [
    "CONNECTION_TYPE",
    "DEFAULT_GRACE",
    "MAX_BLOB_SIZE",
    "KeptSnapshot",
    "Pin",
    "PruneReport",
    "SnapshotStore",
    "StoredBlob",
    "open_store",
    "pin",
    "pins",
    "prune",
    "store_from_connection",
    "unpin",
]
