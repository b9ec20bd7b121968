"""Measures whether a migration is good, and whether a rollback is complete, and keeps the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rollback_provider.core.base import Json
from rollback_provider.core.checking import run_checks
from rollback_provider.core.component import Component, ConnectionResolver, Progress
from rollback_provider.core.document import Record
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.journal import Journal
from rollback_provider.core.ledger import read_ledger
from rollback_provider.core.model import utcnow
from rollback_provider.core.record import execution_ledger, make_record
from rollback_provider.core.registry import build, require_same_system
from rollback_provider.core.repository import Repository, Store, make_id
from rollback_provider.core.schedule import all_side_by_side
from rollback_provider.core.verdict import verdict
from rollback_provider.core.verification import Check, MigrationVerification

_DECLARED = "declared checks"
"""Stands for them among the names of components, which have no space."""


def verify(
    store: Store,
    rollback_id: str,
    connections: ConnectionResolver,
    progress: Progress,
    *,
    actor: str,
    watch: Callable[[Component], None] = lambda _: None,
) -> Record:
    """Runs every component's checks, and those that the user has declared, and returns the record.

    Its status is ``verified`` only where all passed or warned.

    Raises ConfigurationError where the rollback was not executed.
    """
    repository = Repository(store)
    plan = repository.plan(rollback_id)
    journal = Journal(store, rollback_id)
    if not journal.executed:
        raise ConfigurationError(
            f"Rollback {rollback_id} has not been executed",
            state="Nothing was verified",
            next_step=f"Execute it first: rollbackctl execute {rollback_id}",
        )
    if journal.undone_by:
        raise ConfigurationError(
            f"Rollback {rollback_id} was undone by {journal.undone_by}",
            state="Nothing was verified",
            next_step=f"Verify that one: rollbackctl verify {journal.undone_by}",
        )
    snapshot = repository.snapshot(plan.snapshot_id)
    checkpoint = repository.checkpoint(plan.snapshot_id, plan.checkpoint_id) if plan.checkpoint_id else None
    after = {state.spec.name: state for state in checkpoint.components} if checkpoint else {}
    parts = {part.component: part for part in plan.components}
    ledgers = (plan.ledger, execution_ledger(journal))

    def entries(name: str) -> Iterable[Json]:
        for ledger in ledgers:
            yield from (entry for entry in read_ledger(ledger, store) if entry["component"] == name)

    states = {state.spec.name: state for state in snapshot.components}

    def measure(name: str) -> list[Check]:
        if name == _DECLARED:
            return run_checks(snapshot.checks, "rollback", connections)
        component = build(states[name].spec, connections)
        watch(component)
        try:
            require_same_system(component, states[name])
            return component.verify(
                states[name], after.get(name), parts[name], entries(name), journal.notes, store, progress
            )
        finally:
            component.close()

    chosen = [name for name in states if name in parts] + ([_DECLARED] if snapshot.checks else [])
    result = verdict([check for each in all_side_by_side(chosen, measure).values() for check in each])
    journal.append("verified", actor=actor, data=result.to_json())
    return make_record(store, plan, journal)


def verify_migration(
    store: Store, snapshot_id: str, connections: ConnectionResolver, *, actor: str
) -> MigrationVerification:
    """Runs the checks that were declared for the migration, and keeps the result in the store. Reads the systems only.

    Raises ConfigurationError where none was declared.
    """
    repository = Repository(store)
    snapshot = repository.snapshot(snapshot_id)
    if not any(check.spec.when != "rollback" for check in snapshot.checks):
        raise ConfigurationError(
            f"Snapshot {snapshot_id} holds no check of the migration",
            state="Nothing was verified",
            next_step="Declare checks where the snapshot is taken",
        )
    result = verdict(run_checks(snapshot.checks, "migration", connections))
    draft = MigrationVerification(id="", snapshot_id=snapshot_id, created=utcnow(), actor=actor, verification=result)
    made = draft.model_copy(update={"id": make_id("verification", draft.created, draft.to_json())})
    repository.save_verification(made)
    return made
