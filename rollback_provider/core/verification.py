"""The records of verification: what is checked, what was found, and what it adds up to."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from rollback_provider.core.base import Json, Model


class CheckSpec(Model):
    """A check as a user declares it: what must hold once the migration is done, and once it has been taken back.

    :param kind: which kind of check: ``sql``, ``expectations``, …
    :param name: the user's name for it, unique among the checks of a snapshot
    :param connection: id of the Airflow connection that leads to what is asked
    :param when: after the ``migration`` alone, after the ``rollback`` alone, or after both
    :param severity: what a check that fails counts as
    :param timeout: seconds within which it must have answered; without an answer it is unknown
    :param options: what else the kind takes; see the page on checks
    """

    kind: str = Field(min_length=1)
    name: str = Field(min_length=1, max_length=120)
    connection: str | None = None
    when: Literal["both", "migration", "rollback"] = "both"
    severity: Literal["error", "warning"] = "error"
    timeout: float = Field(default=60.0, gt=0, le=3600)
    options: Json = Field(default_factory=dict)


class SealedCheck(Model):
    """A declared check as a snapshot keeps it, with all that running it takes.

    :param baseline: what was measured before the migration, for a check that compares with it
    """

    spec: CheckSpec
    baseline: Json | None = None


class CheckStatus(StrEnum):
    """What a check found. Unknown (no data, no answer) is never passed."""

    PASSED = "passed"
    FAILED = "failed"
    WARNING = "warning"
    UNKNOWN = "unknown"


class Area(StrEnum):
    """Which question about the systems a check answers."""

    STRUCTURE = "structure"
    """Is the schema what it was, object by object?"""
    ROW_COUNTS = "rowCounts"
    """Are there as many rows as there should be?"""
    CHECKSUMS = "checksums"
    """Is every row what it should be?"""
    SAMPLES = "samples"
    """Are rows that were picked at random the same, field by field?"""
    REFERENTIAL_INTEGRITY = "referentialIntegrity"
    """Does every reference lead to a row?"""
    BUSINESS_RULES = "businessRules"
    """Does what the user says about the data hold?"""
    FUNCTION = "function"
    """Does what relies on the data do its work?"""
    PERFORMANCE = "performance"
    """Is it as fast as it was?"""
    STATE = "state"
    """Is all else as it was: traffic, zones, flags, files, sequences?"""


class Check(Model):
    """One thing measured after a migration or a rollback.

    :param component: the component's name; for a check that the user has declared, the connection that it asks
    :param name: what was checked: ``schema``, ``rows``, ``checksums``, ``foreign keys``, ``sequences``, …
    :param scope: of what: a table, or empty for the whole component
    :param differences: each difference by name, at most 100; ``detail`` says how many there are
    :param area: which question it answers
    :param link: where more is to be read
    :param statement: the question that a declared check puts: a query, a path, a function
    """

    component: str
    name: str
    scope: str = ""
    status: CheckStatus
    expected: str = ""
    actual: str = ""
    detail: str = ""
    differences: tuple[str, ...] = ()
    area: Area = Area.STATE
    link: str = ""
    statement: str = ""


class Tally(Model):
    """What the checks of one area add up to, and how many there are of each status."""

    status: CheckStatus
    passed: int = 0
    failed: int = 0
    warning: int = 0
    unknown: int = 0


class Verification(Model):
    """Checks and what they add up to; made by :func:`rollback_provider.core.verdict.verdict`. An area without a check is None.

    :param score: of 100: a check that passed counts whole, a warning half, one that failed or has no answer nothing
    :param summary: the same in a sentence
    """

    status: CheckStatus = CheckStatus.UNKNOWN
    finished: datetime | None = None
    checks: tuple[Check, ...] = ()
    score: float | None = None
    summary: str = ""
    structure: Tally | None = None
    row_counts: Tally | None = None
    checksums: Tally | None = None
    samples: Tally | None = None
    referential_integrity: Tally | None = None
    business_rules: Tally | None = None
    function: Tally | None = None
    performance: Tally | None = None
    state: Tally | None = None


class MigrationVerification(Model):
    """The checks of a migration, run after it against the systems as it left them."""

    id: str
    snapshot_id: str
    created: datetime
    actor: str
    verification: Verification
