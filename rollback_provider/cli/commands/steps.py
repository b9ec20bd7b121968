"""The steps of a rollback: snapshot, checkpoint, check, generate, execute, verify; and abandon."""

from __future__ import annotations

from typing import Literal

from rollback_provider.cli import exits
from rollback_provider.cli.commands.views import snapshot_table
from rollback_provider.cli.session import Session
from rollback_provider.cli.specification import read_specification
from rollback_provider.components.postgres.reserved import marking
from rollback_provider.core import capturer, executor, planner, tracking, verifier
from rollback_provider.core import undo as undoing
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.model import Plan, Policy
from rollback_provider.core.repository import Repository
from rollback_provider.core.verdict import is_good


def snapshot(session: Session) -> int:
    """Takes a snapshot."""
    specs, checks = read_specification(session.arguments.components)
    taken = capturer.take_snapshot(
        session.store,
        session.arguments.migration,
        specs,
        session.connections,
        session.progress,
        actor=session.actor,
        checks=checks,
        watch=session.interrupt.watch,
    )
    session.emit(
        {"snapshot_id": taken.id},
        snapshot_table(taken),
        f"Snapshot {taken.id} is sealed. After the migration: rollbackctl checkpoint {taken.id}",
    )
    return 0


def track(session: Session) -> int:
    """Begins to track a migration."""
    snapshot_id = session.arguments.snapshot_id
    begun = tracking.begin_tracking(
        session.store,
        snapshot_id,
        session.connections,
        session.progress,
        actor=session.actor,
        whole=session.arguments.whole,
        watch=session.interrupt.watch,
    )
    session.emit(
        {"checkpoint_id": begun.id, "snapshot_id": snapshot_id, "options": marking(snapshot_id)},
        f"Run the migration with PGOPTIONS={marking(snapshot_id)!r}",
        f"When they have ended, however they have: rollbackctl checkpoint {snapshot_id}",
    )
    return 0


def checkpoint(session: Session) -> int:
    """Takes a checkpoint: of a tracked migration what its log tells; of all else one that vouches for quiet."""
    store, snapshot_id, watch = session.store, session.arguments.snapshot_id, session.interrupt.watch
    taken = None
    if tracking.was_tracked(store, snapshot_id):
        taken = tracking.end_tracking(
            store, snapshot_id, session.connections, session.progress, actor=session.actor, watch=watch
        )
    if taken is None or not capturer.is_complete(taken, Repository(store).snapshot(snapshot_id)):
        taken = capturer.take_checkpoint(
            store, snapshot_id, session.connections, session.progress, actor=session.actor, exact=taken, watch=watch
        )
    session.emit(
        {"checkpoint_id": taken.id, "snapshot_id": taken.snapshot_id},
        f"Checkpoint {taken.id} is sealed. To go back: rollbackctl generate {taken.snapshot_id}",
    )
    return 0


def check(session: Session) -> int:
    """Verifies a migration. The exit code says whether it is good."""
    made = verifier.verify_migration(
        session.store, session.arguments.snapshot_id, session.connections, actor=session.actor
    )
    if session.arguments.json:
        session.emit(made.to_json())
    else:
        from rollback_provider.report.terminal import checks_table

        session.emit(None, checks_table(made.verification))
    return 0 if is_good(made.verification) else exits.NOT_VERIFIED


def generate(session: Session) -> int:
    """Makes a plan."""
    arguments = session.arguments
    plan = planner.generate(
        session.store,
        arguments.snapshot_id,
        session.connections,
        session.progress,
        actor=session.actor,
        policy=Policy(
            conflicts=arguments.conflicts,
            ambiguous=arguments.ambiguous,
            fill=dict(arguments.fill),
            only=tuple(arguments.only),
            part=_part(schema=arguments.only_schema, data=arguments.only_data),
            rows=dict(arguments.rows),
            leave_behind=arguments.leave_behind,
            downgrade=tuple(arguments.downgrade),
        ),
        checkpoint_id=arguments.checkpoint,
        watch=session.interrupt.watch,
    )
    return _show(session, plan)


def undo(session: Session) -> int:
    """Makes a plan to undo a rollback."""
    arguments = session.arguments
    plan = undoing.undo(
        session.store,
        arguments.rollback_id,
        session.connections,
        session.progress,
        actor=session.actor,
        policy=Policy(conflicts=arguments.conflicts, fill=dict(arguments.fill)),
        watch=session.interrupt.watch,
    )
    return _show(session, plan)


def _part(*, schema: bool, data: bool) -> Literal["all", "schema", "data"]:
    if schema and data:
        raise ConfigurationError(
            "--only-schema and --only-data exclude each other", next_step="Leave both off for everything"
        )
    return "schema" if schema else "data" if data else "all"


def _show(session: Session, plan: Plan) -> int:
    """Prints a plan that has just been made."""
    if session.arguments.json:
        session.emit({"rollback_id": plan.rollback_id})
        return 0
    from rollback_provider.report.terminal import ledger_table, plan_table

    session.emit(
        None,
        plan_table(plan),
        "",
        ledger_table(plan.ledger),
        "",
        f"Nothing was changed. To execute this plan: rollbackctl execute {plan.rollback_id}",
    )
    return 0


def execute(session: Session) -> int:
    """Executes a plan."""
    record = executor.execute(
        session.store,
        session.arguments.rollback_id,
        session.connections,
        session.progress,
        actor=session.actor,
        watch=session.interrupt.watch,
    )
    if session.arguments.json:
        session.emit(record.to_json())
        return 0
    from rollback_provider.report.terminal import outcome_panel, timeline

    session.emit(
        None,
        timeline(record),
        outcome_panel(record),
        f"To measure whether it is complete: rollbackctl verify {record.rollback_id}",
        f"To undo it, should it have been the wrong decision: rollbackctl undo {record.rollback_id}",
    )
    return 0


def verify(session: Session) -> int:
    """Verifies a rollback. The exit code says whether it is complete."""
    record = verifier.verify(
        session.store,
        session.arguments.rollback_id,
        session.connections,
        session.progress,
        actor=session.actor,
        watch=session.interrupt.watch,
    )
    if session.arguments.json:
        session.emit(record.to_json())
    else:
        from rollback_provider.report.terminal import checks_table, outcome_panel

        session.emit(None, checks_table(record.execution.verification), outcome_panel(record))
    return 0 if record.execution.status == "verified" else exits.NOT_VERIFIED


def abandon(session: Session) -> int:
    """Gives a rollback up."""
    record = executor.abandon(session.store, session.arguments.rollback_id, actor=session.actor)
    session.emit(
        record.to_json(),
        f"Rollback {record.rollback_id} is given up. The systems stay as they are; "
        f"to see what differs: rollbackctl generate {record.snapshot.id}",
    )
    return 0
