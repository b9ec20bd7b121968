"""The tasks that :func:`rollback_provider.guard.rollback_guard` puts around a migration.

The rollback tasks are teardowns: Airflow runs them whatever happened before, after a person has marked the run, and again when somebody
clears a part of it. So each of them looks at the states of the run's other tasks before it does anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from rollback_provider.components.postgres.reserved import marking
from rollback_provider.core.capturer import is_complete
from rollback_provider.core.cause import Cause
from rollback_provider.core.document import Record
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.journal import Journal
from rollback_provider.core.lookup import snapshots_of, used_by
from rollback_provider.core.model import Snapshot, utcnow
from rollback_provider.core.record import load_record
from rollback_provider.core.repository import Repository, Store
from rollback_provider.core.tracking import begin_tracking, end_tracking, was_tracked
from rollback_provider.hooks.cause import told_causes
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.hooks.identity import run_label, task_actor
from rollback_provider.hooks.rollback_store import RollbackStoreHook
from rollback_provider.operators.base import final_errors
from rollback_provider.operators.checkpoint import (
    RollbackCheckpointOperator,
    complete_checkpoint,
    exact_checkpoint,
)
from rollback_provider.operators.execute import RollbackBeginOperator, RollbackExecuteOperator
from rollback_provider.operators.generate import RollbackGenerateOperator
from rollback_provider.operators.report import RollbackReportOperator
from rollback_provider.operators.snapshot import RollbackSnapshotOperator
from rollback_provider.operators.verify import RollbackVerifyOperator
from rollback_provider.operators.work import Work


class Outcome(StrEnum):
    """How a guarded migration ended; the value that the task ``outcome`` pushes to XCom under the key ``outcome``."""

    MIGRATED = "MIGRATED"
    """The migration is done and verified."""
    ROLLED_BACK = "ROLLED_BACK"
    """The migration failed, and the systems were measured to be back."""
    ROLLBACK_FAILED = "ROLLBACK_FAILED"
    """The migration failed, and the systems are not proven to be back: somebody has to look."""
    NOT_STARTED = "NOT_STARTED"
    """The migration never began; nothing was changed."""


class GuardedSnapshotOperator(RollbackSnapshotOperator):
    """Takes the snapshot, unless the migration of this run has begun already: then the state before it is kept.

    Clearing a task behind the migration clears the snapshot with it, because it is their setup; a new one would hold the migrated state.
    """

    def __init__(self, *, work: Work, track: bool, whole: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.work = work
        self.track = track
        self.whole = whole

    def run_in(self, context: Any) -> str:
        """Takes the snapshot, or finds the one this run took before; returns its id."""
        if self.work.migration_waits(context) or self.work.never_ran(context):
            if self.track and context["ti"].try_number > 1:
                self._end_earlier_tracking(context)
            snapshot_id = super().run_in(context)
            if self.track:
                begin_tracking(
                    self.open_store(),
                    snapshot_id,
                    airflow_connections,
                    self.progress,
                    actor=task_actor(context),
                    whole=self.whole,
                    watch=self.watch,
                )
                self.log.info("The migration is tracked: run it with PGOPTIONS=%r", marking(snapshot_id))
            return snapshot_id
        store = self.open_store()
        earlier = self._earlier(store, context)
        if earlier is None:
            raise ConfigurationError(
                f"The migration of this run has begun, and its snapshot is not in {store.url}",
                state="No new snapshot was taken: it would hold the migrated state",
                next_step="Put the snapshot back into the store, or roll back by hand",
            )
        rollback_id = used_by(Repository(store), earlier)
        if rollback_id and self.work.verification_waits(context):
            raise ConfigurationError(
                f"The migration of this run was taken back by rollback {rollback_id}",
                state="The systems are as that rollback left them",
                next_step=f"To migrate again, clear {', '.join(self.work.migrate)} with what is downstream, or start a new run",
            )
        self.log.warning(
            "The migration of this run has begun: its snapshot %s is kept, no new one is taken", earlier.id
        )
        return earlier.id

    def _earlier(self, store: Store, context: Any) -> Snapshot | None:
        """The newest snapshot that this run has taken."""
        mine = f"{run_label(context)}/"
        found = snapshots_of(Repository(store), self.migration)
        return next((snapshot for snapshot in found if snapshot.actor.startswith(mine)), None)

    def _end_earlier_tracking(self, context: Any) -> None:
        """Ends what an earlier try of this run began to track, and did not live to tell anybody of."""
        store = self.open_store()
        earlier = self._earlier(store, context)
        if earlier is None or not was_tracked(store, earlier.id):
            return
        end_tracking(store, earlier.id, airflow_connections, self.progress, actor=task_actor(context), watch=self.watch)
        self.log.warning(
            "An earlier try has begun to track with snapshot %s, which is ended: this try takes a new one", earlier.id
        )


class GuardedCheckpointOperator(RollbackCheckpointOperator):
    """Keeps the exact checkpoint of the migrate task; takes one of what it does not tell only where the DAG's author vouches for quiet."""

    def __init__(self, *, quiet: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.quiet = quiet

    def run_in(self, context: Any) -> str | None:
        """Keeps or takes the checkpoint; returns its id, or None where nobody knows which writes are the migration's."""
        repository = Repository(self.open_store())
        exact = exact_checkpoint(self, repository.store, self.snapshot_id, context)
        snapshot = repository.snapshot(self.snapshot_id)
        if self.quiet or (exact and is_complete(exact, snapshot)):
            return complete_checkpoint(self, repository.store, self.snapshot_id, context)
        told = {state.spec.name for state in exact.components} if exact else set()
        self.log.warning(
            "There is no checkpoint of %s: the migrate task has sealed none, and quiet=True does not vouch that only the migration writes. "
            "A rollback of this run stops where something has changed since the snapshot; a person can then start one with a policy",
            ", ".join(state.spec.name for state in snapshot.components if state.spec.name not in told),
        )
        return exact.id if exact else None


class GuardedGenerateOperator(RollbackGenerateOperator):
    """Plans the rollback, unless the migration verified or never began."""

    def __init__(self, *, work: Work, quiet: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.work = work
        self.quiet = quiet

    def run_in(self, context: Any) -> str:
        """Plans; returns the rollback's id."""
        if self.work.verified(context):
            raise AirflowSkipException("The migration verified: there is nothing to roll back")
        store = self.open_store()
        repository, snapshot_id = Repository(store), str(self.snapshot_id)
        if was_tracked(store, snapshot_id):
            exact_checkpoint(self, store, snapshot_id, context)
        if self.work.never_ran(context):
            raise AirflowSkipException("The migration never began: there is nothing to roll back")
        self.log.warning("Rolling back, because of %s", self.work.causes(context))
        newest = next(reversed(repository.checkpoints(snapshot_id)), None)
        if self.quiet and not (newest and is_complete(newest, repository.snapshot(snapshot_id))):
            self.log.info("The migration ended before its checkpoint, which is taken now")
            complete_checkpoint(self, store, snapshot_id, context)
        return super().run_in(context)

    def cause(self, context: Any) -> Cause:
        """What the task that failed has told, or that it failed."""
        told = told_causes(context, self.work.required)
        if told:
            return min(told, key=lambda cause: cause.time)
        what = f"The migration failed ({self.work.causes(context)})"
        return Cause(what=what, source=task_actor(context), time=utcnow())


class GuardedExecuteOperator(RollbackExecuteOperator):
    """Executes the rollback, if one was planned."""

    def run_in(self, context: Any) -> str:
        """Executes; returns the rollback's id."""
        if not self.rollback_id:
            raise AirflowSkipException("No rollback was planned: there is nothing to execute")
        return super().run_in(context)


class GuardedBeginOperator(RollbackBeginOperator):
    """Begins the rollback, if one was planned."""

    def run_in(self, context: Any) -> str:
        """Begins; returns the rollback's id."""
        if not self.rollback_id:
            raise AirflowSkipException("No rollback was planned: there is nothing to begin")
        return super().run_in(context)


class GuardedVerifyOperator(RollbackVerifyOperator):
    """Verifies the rollback, if it was executed."""

    def run_in(self, context: Any) -> str:
        """Verifies; returns the rollback's id."""
        if not self.rollback_id or not Journal(self.open_store(), self.rollback_id).executed:
            raise AirflowSkipException("No rollback was executed: there is nothing to verify")
        return super().run_in(context)


class GuardedOutcomeOperator(RollbackReportOperator):
    """Says how a guarded migration ended, writes the report, and fails unless the outcome is MIGRATED.

    :param rollback_id: the rollback that was planned, if one was
    :param report_dir: where the report files go; ``[rollback] report_dir`` of Airflow's configuration where not given
    """

    def __init__(self, *, work: Work, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.work = work

    def run_in(self, context: Any) -> str:
        """Returns MIGRATED; otherwise pushes the outcome and raises AirflowFailException."""
        record = load_record(self.open_store(), self.rollback_id) if self.rollback_id else None
        outcome, why = self._judge(context, record)
        context["ti"].xcom_push(key="outcome", value=outcome.value)
        report = self.write(record, self.report_dir) if record else None
        text = f"{outcome}: {why}" + (f" The report: {report}" if report else "")
        if outcome is not Outcome.MIGRATED:
            raise AirflowFailException(text)
        self.log.info("%s", text)
        return outcome.value

    def _judge(self, context: Any, record: Record | None) -> tuple[Outcome, str]:
        if self.work.verified(context):
            return Outcome.MIGRATED, "the migration is done and verified."
        if self.work.never_ran(context):
            return Outcome.NOT_STARTED, "the migration never began. Nothing was changed."
        cause = f"The migration failed ({self.work.causes(context)})"
        if record and record.cause and record.cause.signals:
            cause += f": {record.cause.what}"
        if record is None:
            return (
                Outcome.ROLLBACK_FAILED,
                f"{cause}, and no rollback could be planned: see rollback.generate, then clear it.",
            )
        if record.execution.status != "verified":
            failed = (
                record.execution.error or "see the failed rollback task, then clear it: it continues where it stopped."
            )
            return Outcome.ROLLBACK_FAILED, f"{cause}, and rollback {record.rollback_id} is not verified: {failed}"
        checks = len(record.execution.verification.checks)
        return Outcome.ROLLED_BACK, f"{cause}. Rollback {record.rollback_id} is verified by {checks} checks."


def refuse_used_snapshot(snapshot_task: RollbackSnapshotOperator, context: Any) -> None:
    """Runs before each task that migrates: a snapshot is good for one try, because later writes of applications are not in it.

    Raises AirflowFailException where the snapshot of this run has been rolled back to.
    """
    repository = Repository(RollbackStoreHook(context["task"].render_template(snapshot_task.store, context)).get_conn())
    snapshot_id = context["ti"].xcom_pull(task_ids=snapshot_task.task_id)
    with final_errors():
        if rollback_id := used_by(repository, repository.snapshot(str(snapshot_id))):
            raise ConfigurationError(
                f"Snapshot {snapshot_id} was rolled back to by {rollback_id}; the migration needs a new one",
                state="The migration did not run again; the systems are as that rollback left them",
                next_step=f"Clear {snapshot_task.task_id} with all that is downstream, or start a new run",
            )
