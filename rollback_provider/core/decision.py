"""The decision to begin a migration, or not to: what was found, and who decided."""

from __future__ import annotations

from datetime import datetime

from rollback_provider.core.base import Model
from rollback_provider.core.verification import Check, CheckStatus


class Decision(Model):
    """Go or no-go for the migration of a snapshot. Each evaluation of the criteria is one.

    :param actor: which task evaluated them
    :param by: who decided: a person, or the criteria
    :param checks: the criteria, each with what was demanded and what was found
    """

    id: str
    snapshot_id: str
    created: datetime
    actor: str
    go: bool
    by: str
    checks: tuple[Check, ...]


def speaks_for(check: Check) -> bool:
    """Whether a criterion is met. Unknown is not met."""
    return check.status in {CheckStatus.PASSED, CheckStatus.WARNING}
