"""The difference between two catalogs as DDL that takes it back."""

from __future__ import annotations

from rollback_provider.components.postgres.catalog import Catalog
from rollback_provider.components.postgres.reverse.changes import Changes
from rollback_provider.components.postgres.reverse.conversion import Retyped, retyped_columns
from rollback_provider.components.postgres.reverse.labels import Labels
from rollback_provider.components.postgres.reverse.plan import reverse

__all__ = ["Labels", "Retyped", "retyped", "reverse"]


def retyped(then: Catalog, now: Catalog) -> list[Retyped]:
    """Columns whose type a reversal converts, each with an expression that tells on real rows whether that will work."""
    return retyped_columns(Changes(then, now))
