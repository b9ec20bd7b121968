"""What a rehearsal is told, and the record that it leaves."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from rollback_provider.core.base import Model
from rollback_provider.core.verification import CheckStatus

Size = Literal["schema", "sampled", "full"]
"""How much of the snapshot's rows a copy holds: none, some of each table with all that they refer to, or all."""


class Migration(Model):
    """The user's migration, as it is rehearsed: exactly one of `sql`, `alembic` and `function`.

    :param sql: files that are run in this order; each is sent as one query, so that a statement that PostgreSQL refuses inside a
        transaction has a file of its own
    :param alembic: path of an ``alembic.ini``; needs `quiet`, because Alembic connects and commits by itself
    :param revision: where Alembic upgrades to
    :param function: ``module:function``, called with an open psycopg connection
    :param alter: as for ``RollbackStoreHook.migration``: tables that wait from the beginning
    :param lock: likewise, for writers alone
    :param quiet: nobody writes while it runs, and its transactions are its own; without it, it runs in one transaction beside writers
    """

    sql: tuple[str, ...] = ()
    alembic: str | None = None
    revision: str = "head"
    function: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    alter: tuple[str, ...] = ()
    lock: tuple[str, ...] = ()
    quiet: bool = False

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if sum(map(bool, (self.sql, self.alembic, self.function))) != 1:
            raise ValueError("give exactly one of sql, alembic and function")
        if self.alembic and not self.quiet:
            raise ValueError("alembic commits by itself: say quiet")
        if self.quiet and (self.alter or self.lock):
            raise ValueError("alter and lock are for a migration that is not quiet")
        return self


class Kept(Model):
    """A record that belongs to a snapshot and is looked up by its own id, which names its content."""

    id: str
    snapshot_id: str
    created: datetime


class WriteOutcome(StrEnum):
    """What the writer knows of a write."""

    ACKNOWLEDGED = "acknowledged"
    UNKNOWN = "unknown"
    """The connection was lost before the answer."""


class Write(Model):
    """One write of the synthetic writer.

    :param scope: the table's name in the snapshot
    :param key: the row's key as text, in the order of the snapshot's key
    :param values: the tokens that it wrote, by the columns' names in the snapshot
    :param milliseconds: until it was acknowledged, waiting and tries included
    """

    scope: str
    key: tuple[str, ...]
    action: Literal["insert", "update", "delete"]
    values: dict[str, str] = Field(default_factory=dict)
    outcome: WriteOutcome = WriteOutcome.ACKNOWLEDGED
    milliseconds: float = 0.0


class Writes(Model):
    """What the writer has done in one trial, and what the history checker says of it.

    :param refused: writes that the schema did not allow, which therefore did not happen
    :param listed: rows that are not as the application left them, and stand in the ledger
    :param lost: rows that are not as the application left them, and stand nowhere: each in words
    :param per_second: acknowledged writes
    :param worst: longest time a write took, in milliseconds
    """

    acknowledged: int = 0
    unknown: int = 0
    refused: int = 0
    listed: int = 0
    lost: tuple[str, ...] = ()
    per_second: float = 0.0
    p95: float = 0.0
    worst: float = 0.0


class StepTime(Model):
    """How long one step of the rollback took.

    :param seconds: over all attempts
    """

    title: str
    seconds: float


class Expected(Model):
    """A time that is expected, in seconds.

    :param low: and `high`: how far the measurements leave it open; None where there is only one
    """

    p50: float
    low: float | None = None
    high: float | None = None


class Estimate(Model):
    """How long a rollback is expected to take on all rows of the snapshot; made by :mod:`~rollback_provider.core.rehearsal.estimate`.

    :param rows: of the snapshot
    :param measured: rows of the copies that it rests on, each once
    :param trials: how many it rests on
    :param rollback: planning and execution together
    :param phases: by name: ``generate``, ``execute``, ``verify``
    :param steps: by title, those that every copy's rollback had
    """

    rows: int
    measured: tuple[int, ...]
    trials: int
    rollback: Expected
    phases: dict[str, Expected] = Field(default_factory=dict)
    steps: dict[str, Expected] = Field(default_factory=dict)


class Trial(Model):
    """The migration, the writer and the rollback, once through, undisturbed or with one fault.

    :param rows: of its copy
    :param share: of the snapshot's rows, where it was run for the estimate on a copy of its own

    :param drill: the fault's name; empty for none
    :param injected: how often it struck
    :param attempts: how often the rollback had to be executed
    :param met: what the attempts that failed have said
    :param seconds: of snapshot, migration, checkpoint, plan, execution and verification
    :param locks: longest time one lock was held against applications, by what it locked
    :param differences: what is not back, by name
    :param plan_digest: of the rollback's steps and scripts
    """

    drill: str = ""
    rows: int = 0
    share: float | None = None
    status: CheckStatus
    detail: str = ""
    injected: int = 0
    attempts: int = 0
    met: tuple[str, ...] = ()
    seconds: dict[str, float] = Field(default_factory=dict)
    steps: tuple[StepTime, ...] = ()
    locks: dict[str, float] = Field(default_factory=dict)
    writes: Writes = Writes()
    ledger: dict[str, int] = Field(default_factory=dict)
    differences: tuple[str, ...] = ()
    plan_digest: str = ""


class Rehearsal(Kept):
    """The record of one rehearsal.

    :param identity: names the original, as the snapshot does
    :param migration_digest: of the migration's own text, so that another one cannot pass for it
    :param schema_fingerprint: of the original's schema, as in the snapshot
    :param versions: of the engine, of the copy's server and of the original's
    :param size: of the copy
    :param estimate: of the rollback of all rows; None where nothing was measured that it could rest on
    :param uncovered: what the rehearsal says nothing about, each a sentence
    """

    migration: str
    component: str
    finished: datetime
    actor: str
    identity: str
    migration_digest: str
    plan_digest: str
    schema_fingerprint: str
    versions: dict[str, str]
    size: Size
    rows: int
    seed: int
    trials: tuple[Trial, ...]
    estimate: Estimate | None = None
    uncovered: tuple[str, ...] = ()

    @property
    def status(self) -> CheckStatus:
        """Passed only where every trial has; unknown where one could not be judged."""
        found = {trial.status for trial in self.trials}
        worst = (CheckStatus.FAILED, CheckStatus.UNKNOWN, CheckStatus.WARNING, CheckStatus.PASSED)
        return next((status for status in worst if status in found), CheckStatus.UNKNOWN)

    @property
    def proven(self) -> bool:
        """Whether migration and rollback went well wherever that could be judged: undisturbed, and in every drill that could strike."""
        plain = [trial.status for trial in self.trials if not trial.drill]
        failed = any(trial.status is CheckStatus.FAILED for trial in self.trials)
        return not failed and set(plain) == {CheckStatus.PASSED}

    @property
    def drills(self) -> tuple[str, ...]:
        """Names of the drills that passed."""
        return tuple(trial.drill for trial in self.trials if trial.drill and trial.status is CheckStatus.PASSED)
