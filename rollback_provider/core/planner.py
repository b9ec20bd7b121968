"""Makes the plan of a rollback: the steps of every component, in order, and the ledger. Changes nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta

from rollback_provider.core.capturer import RecordingBlobs
from rollback_provider.core.cause import Cause
from rollback_provider.core.chain import Chain, later_migrations, weakest
from rollback_provider.core.component import Component, ConnectionResolver, Downgradable, Progress, Selective
from rollback_provider.core.errors import (
    ComponentError,
    ConfigurationError,
    LockedError,
    MigrationRunningError,
    UnsupportedError,
)
from rollback_provider.core.ledger import LedgerWriter, merge_ledgers
from rollback_provider.core.lock import owner_of
from rollback_provider.core.model import (
    Acceptance,
    Attribution,
    Checkpoint,
    ComponentPlan,
    ComponentState,
    Ledger,
    Plan,
    Policy,
    Snapshot,
    utcnow,
)
from rollback_provider.core.registry import build, require_same_system, rollback_order
from rollback_provider.core.repository import Repository, Store, make_id
from rollback_provider.core.schedule import all_side_by_side, rollback_needs
from rollback_provider.core.selection import refuse_unknown, select


def generate(
    store: Store,
    snapshot_id: str,
    connections: ConnectionResolver,
    progress: Progress,
    *,
    actor: str,
    policy: Policy | None = None,
    checkpoint_id: str | None = None,
    cause: Cause | None = None,
    watch: Callable[[Component], None] = lambda _: None,
) -> Plan:
    """Plans the way back to a snapshot and seals the plan.

    :param checkpoint_id: which checkpoint tells the migration's changes from later ones; the newest where not given. Where there is
        none, every change since the snapshot is ambiguous and listed as such.
    :param cause: why, for the record

    Migrations of the same systems that were begun later and are in effect are taken back with it; see :mod:`~rollback_provider.core.chain`.

    Raises NotFoundError, UnsupportedError, ConflictError, MigrationRunningError, LockedError.
    """
    started = time.monotonic()
    repository = Repository(store)
    snapshot = repository.snapshot(snapshot_id)
    checkpoint = _checkpoint(repository, snapshot_id, checkpoint_id)
    if checkpoint and checkpoint.attribution is Attribution.TRACKING:
        raise MigrationRunningError(
            f"The migration of snapshot {snapshot_id} is being tracked, and what it changed has not been recorded",
            state="Nothing was planned",
            next_step=f"When its sessions have ended: rollbackctl checkpoint {snapshot_id}",
        )
    attribution = checkpoint.attribution if checkpoint else Attribution.UNKNOWN
    told = checkpoint is not None and attribution is not Attribution.UNKNOWN
    after = {state.spec.name: state for state in checkpoint.components} if checkpoint and told else {}
    policy = policy or Policy()
    _refuse_downgrade(snapshot, policy)
    later = later_migrations(repository, snapshot)
    chain = Chain(store, later, connections, policy)
    chosen = _choose(store, snapshot, connections, policy, watch)
    left_behind = _left_behind(snapshot, chosen, policy)
    before = {state.spec.name: state for state in snapshot.components if state.spec.name in chosen}

    def plan_one(name: str) -> tuple[ComponentPlan, Ledger]:
        return _plan(
            store, before[name], after.get(name), chain, connections, chosen[name], progress, watch, left_behind[name]
        )

    made = all_side_by_side(before, plan_one)
    plans = tuple(plan for plan, _ in made.values())
    if acceptance := repository.acceptance(snapshot_id):
        plans = tuple(plan.model_copy(update={"notes": (_accepted(acceptance), *plan.notes)}) for plan in plans)
    _refuse_repeated_steps(plans)
    draft = Plan(
        rollback_id="",
        snapshot_id=snapshot_id,
        checkpoint_id=checkpoint.id if checkpoint else None,
        migration=snapshot.migration,
        created=utcnow(),
        actor=actor,
        attribution=weakest(attribution, *(each.checkpoint.attribution for each in chain.composed if each.checkpoint)),
        policy=policy,
        components=plans,
        order=_order(snapshot, chosen),
        ledger=merge_ledgers(ledger for _, ledger in made.values()),
        duration=timedelta(seconds=round(time.monotonic() - started, 3)),
        through=tuple(each.snapshot.id for each in (chain.composed if told else later)),
        cause=cause,
    )
    rollback_id = make_id(f"rollback-{snapshot.migration}", draft.created, draft.to_json())
    plan = draft.model_copy(update={"rollback_id": rollback_id})
    repository.save_plan(plan)
    return plan


def _refuse_downgrade(snapshot: Snapshot, policy: Policy) -> None:
    """Raises ConfigurationError where it names no component."""
    names = [state.spec.name for state in snapshot.components]
    for name in policy.downgrade:
        if name not in names:
            raise ConfigurationError(
                f"The downgrade names {name!r}, and the snapshot has no such component",
                next_step=f"Name one of: {', '.join(names)}",
            )


def _checkpoint(repository: Repository, snapshot_id: str, checkpoint_id: str | None) -> Checkpoint | None:
    if checkpoint_id:
        return repository.checkpoint(snapshot_id, checkpoint_id)
    return next(reversed(repository.checkpoints(snapshot_id)), None)


def _accepted(acceptance: Acceptance) -> str:
    text = f"the migration was accepted on {acceptance.created:%Y-%m-%d} by {acceptance.actor}"
    if not acceptance.dropped:
        return text
    return f"{text}: the {len(acceptance.dropped)} objects it had soft-dropped are dropped for good, and are made again from the snapshot"


def _choose(
    store: Store,
    snapshot: Snapshot,
    connections: ConnectionResolver,
    policy: Policy,
    watch: Callable[[Component], None],
) -> dict[str, Policy]:
    """The components that are rolled back, each with the policy for it."""
    if not policy.partial:
        return {state.spec.name: policy for state in snapshot.components}
    chosen: dict[str, Policy] = {}
    holds: dict[str, tuple[str, ...]] = {}
    for state in snapshot.components:
        name = state.spec.name
        component = build(state.spec, connections)
        watch(component)
        try:
            require_same_system(component, state)
            holds[name] = tuple(component.scopes(state, store)) if isinstance(component, Selective) else ()
            mine = select(policy, name, component, holds[name])
        finally:
            component.close()
        if mine is not None:
            chosen[name] = mine
    refuse_unknown(policy, holds)
    return chosen


def _order(snapshot: Snapshot, chosen: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    waves = rollback_order(state.spec for state in snapshot.components)
    names = set(chosen)
    return tuple(wave for all_ in waves if (wave := tuple(name for name in all_ if name in names)))


def _left_behind(snapshot: Snapshot, chosen: Collection[str], policy: Policy) -> dict[str, tuple[str, ...]]:
    """For each chosen component, those that were migrated after it and are not rolled back. Refused unless the policy allows it."""
    specs = [state.spec for state in snapshot.components]
    needs = rollback_needs(specs, [spec.name for spec in specs])
    broken = {name: tuple(each for each in needs[name] if each not in chosen) for name in chosen}
    if not policy.leave_behind:
        for name, left in broken.items():
            if left:
                raise ConfigurationError(
                    f"{', '.join(left)} was migrated after it, relies on it, and is not chosen",
                    component=name,
                    next_step="Choose it, too, or say that it may be left behind: --leave-behind",
                )
    return broken


def _refuse_repeated_steps(plans: Iterable[ComponentPlan]) -> None:
    """The journal knows steps by id: of two that share one, the second would be taken for done."""
    counts = Counter(step.id for plan in plans for step in plan.steps)
    if repeated := [step for step, count in counts.items() if count > 1]:
        raise ComponentError(
            f"Step ids are used twice: {', '.join(repeated)}", next_step="Report this to the author of the plug-in"
        )


def _plan(
    store: Store,
    before: ComponentState,
    after: ComponentState | None,
    chain: Chain,
    connections: ConnectionResolver,
    policy: Policy,
    progress: Progress,
    watch: Callable[[Component], None],
    left_behind: tuple[str, ...],
) -> tuple[ComponentPlan, Ledger]:
    if owner := owner_of(store, before.identity):
        raise LockedError(
            f"Rollback {owner} has begun and is not finished",
            component=before.spec.name,
            state="The component is somewhere between migrated and rolled back",
            next_step=f"Finish it: rollbackctl execute {owner}; or give it up: rollbackctl abandon {owner}",
        )
    component = build(before.spec, connections)
    watch(component)
    blobs = RecordingBlobs(store)
    ledger = LedgerWriter(store)
    try:
        require_same_system(component, before)
        if before.spec.name in policy.downgrade and not isinstance(component, Downgradable):
            raise UnsupportedError(f"Kind {component.kind!r} has no migration tool", component=before.spec.name)
        composed, after, notes = chain.compose(before, after, ledger)
        plan = component.plan(composed, after, policy, blobs, ledger, progress)
    finally:
        component.close()
    needed = blobs.written if composed is before else [*blobs.written, *composed.blobs]
    notes += [f"{each} was migrated after {before.spec.name} and stays as it is" for each in left_behind]
    plan = plan.model_copy(update={"blobs": tuple(dict.fromkeys(needed)), "notes": (*plan.notes, *notes)})
    return plan, ledger.seal()
