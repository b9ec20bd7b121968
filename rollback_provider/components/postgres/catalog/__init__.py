"""The schema of a PostgreSQL database as data: read by identity, compared by name."""

from __future__ import annotations

from rollback_provider.components.postgres.catalog.capture import capture
from rollback_provider.components.postgres.catalog.difference import differences
from rollback_provider.components.postgres.catalog.entry import Entry, Ref
from rollback_provider.components.postgres.catalog.model import Catalog, Sequence

__all__ = ["Catalog", "Entry", "Ref", "Sequence", "capture", "differences"]
