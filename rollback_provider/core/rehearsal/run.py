"""A whole rehearsal: copies of a snapshot, a plain trial and one for each drill, and the record of all."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import count

from rollback_provider import __version__
from rollback_provider.core.component import Component, Connection, Progress
from rollback_provider.core.errors import ConfigurationError, UnsupportedError
from rollback_provider.core.model import ComponentState, Policy, Snapshot, utcnow
from rollback_provider.core.registry import build
from rollback_provider.core.rehearsal.copies import Copies, Place, Rehearsable
from rollback_provider.core.rehearsal.drills import DRILLS, Drill, ExecuteApart
from rollback_provider.core.rehearsal.estimate import estimate
from rollback_provider.core.rehearsal.model import Migration, Rehearsal, Trial
from rollback_provider.core.rehearsal.overlay import Overlay
from rollback_provider.core.rehearsal.records import load_under, names_under
from rollback_provider.core.rehearsal.trial import TrialRun
from rollback_provider.core.repository import Repository, Store, make_id
from rollback_provider.core.verification import CheckStatus

PREFIX = "rehearsals/"


def rehearse(
    store: Store,
    snapshot_id: str,
    migration: Migration,
    progress: Progress,
    *,
    migration_digest: str,
    place: Place,
    workspace: Store,
    apart: ExecuteApart,
    actor: str,
    component: str | None = None,
    drills: Collection[str] = (),
    runs: int = 1,
    shares: Collection[float] = (),
    policy: Policy | None = None,
    seed: int = 1,
    watch: Callable[[Component], None] = lambda _: None,
) -> Rehearsal:
    """Rehearses a migration and its rollback on copies of a snapshot, and keeps the record in the store.

    The original is never reached: its connection cannot even be resolved here.

    :param migration_digest: of the migration's text
    :param workspace: a store for what is sealed on the way, to be thrown away
    :param apart: executes a rollback in a process of its own
    :param component: which of the snapshot's is rehearsed; not needed where only one can be
    :param drills: names of :data:`~rollback_provider.core.rehearsal.drills.DRILLS`
    :param runs: how often it runs undisturbed, for the figures
    :param shares: of each table's rows: it runs undisturbed on copies of these sizes, too, each as often as `runs` says, for an estimate
        of the time that all rows take
    :param seed: of the writer; the same one writes the same things

    Raises ConfigurationError, NotFoundError, UnsupportedError, what making the copy raises, and StepFailedError where the migration fails.
    """
    if runs < 1:
        raise ConfigurationError("A rehearsal runs at least once")
    _refuse_shares(shares, place)
    chosen = _drills(drills)
    created = utcnow()
    snapshot = Repository(store).snapshot(snapshot_id)
    state, subject = _subject(snapshot, component)
    rows = int(state.summary.get("rows", 0))
    seeds, blobs = count(seed), Overlay(store, workspace)

    def trial(copies: Copies, drill: Drill, share: float | None = None) -> Trial:
        what = drill.title if share is None else f"{drill.title}, on {share:.0%} of the rows"
        progress.message(f"{state.spec.name}: rehearsing, {what}")
        with copies.fresh() as copy:
            run = TrialRun(
                copy,
                workspace,
                state.spec,
                migration,
                drill,
                apart,
                progress,
                policy=policy or Policy(),
                seed=None if place.size == "schema" else next(seeds),
                watch=watch,
            )
            return run.run().model_copy(update={"rows": copies.rows, "share": share})

    with subject.copies(state, place, blobs, progress) as copies:
        trials = [trial(copies, drill) for drill in [*([Drill()] * runs), *chosen]]
    for share in shares:
        with subject.copies(state, replace(place, size="sampled", share=share), blobs, progress) as smaller:
            trials += [trial(smaller, Drill(), share) for _ in range(runs)]
    draft = Rehearsal(
        id="",
        snapshot_id=snapshot.id,
        migration=snapshot.migration,
        component=state.spec.name,
        created=created,
        finished=utcnow(),
        actor=actor,
        identity=state.identity,
        migration_digest=migration_digest,
        plan_digest=trials[0].plan_digest,
        schema_fingerprint=str(state.payload.get("fingerprint", "")),
        versions={"engine": __version__, "copy": copies.server},
        size=place.size,
        rows=copies.rows,
        seed=seed,
        trials=tuple(trials),
        estimate=estimate(trials, rows, whole=place.size == "full"),
        uncovered=_uncovered(snapshot, state, place, copies, migration, trials),
    )
    rehearsal = draft.model_copy(update={"id": make_id(f"rehearsal-{snapshot.migration}", created, draft.to_json())})
    store.create(f"{PREFIX}{snapshot.id}/{rehearsal.id}", rehearsal.to_json())
    return rehearsal


def load_rehearsal(store: Store, rehearsal_id: str) -> Rehearsal:
    """Raises NotFoundError, IntegrityError."""
    return load_under(store, PREFIX, rehearsal_id, Rehearsal, "rehearsal")


def rehearsal_ids(store: Store) -> list[str]:
    """Ids of all rehearsals."""
    return names_under(store, PREFIX)


def _drills(names: Collection[str]) -> list[Drill]:
    if unknown := [name for name in names if name not in DRILLS]:
        raise ConfigurationError(
            f"There is no drill {', '.join(map(repr, unknown))}", next_step=f"Name some of: {', '.join(DRILLS)}"
        )
    return [DRILLS[name] for name in names]


def _refuse_shares(shares: Collection[float], place: Place) -> None:
    if not shares:
        return
    if place.size != "sampled":
        raise ConfigurationError(
            f"Shares are for a copy of the size sampled, not {place.size}",
            next_step="Leave them out: full size measures the time itself, and without rows there is none",
        )
    if len(set(shares)) < 2 or not all(0 < share < 1 for share in shares):
        raise ConfigurationError(
            f"An estimate takes two different shares between 0 and 1, not {', '.join(f'{share:g}' for share in shares)}",
            next_step="Give two, such as 0.1 and 0.5",
        )


def _never(connection_id: str) -> Connection:
    raise ConfigurationError(f"A rehearsal does not reach the original, and connection {connection_id!r} leads there")


def _subject(snapshot: Snapshot, name: str | None) -> tuple[ComponentState, Rehearsable]:
    """The component to rehearse, built so that it cannot reach its system."""
    states = {state.spec.name: state for state in snapshot.components}
    built = {each: build(state.spec, _never) for each, state in states.items()}
    able = {each: component for each, component in built.items() if isinstance(component, Rehearsable)}
    if name is not None and name not in states:
        raise ConfigurationError(
            f"Snapshot {snapshot.id} has no component {name!r}", next_step=f"Name one of: {', '.join(states)}"
        )
    if name is None and len(able) > 1:
        raise ConfigurationError(
            f"Snapshot {snapshot.id} has several components that can be rehearsed",
            next_step=f"Name one of: {', '.join(able)}",
        )
    chosen = name or next(iter(able), None)
    if chosen is None or chosen not in able:
        kinds = ", ".join(sorted({state.spec.kind for state in states.values()}))
        raise UnsupportedError(
            f"No copy can be made of {chosen or 'any component of the snapshot'} (kind {kinds})",
            next_step="Rehearse a snapshot that holds a component of kind postgres",
        )
    return states[chosen], able[chosen]


def _uncovered(
    snapshot: Snapshot, state: ComponentState, place: Place, copies: Copies, migration: Migration, trials: list[Trial]
) -> tuple[str, ...]:
    """What a reader might take for tried out, and is not."""
    others = [each.spec for each in snapshot.components if each.spec.name != state.spec.name]
    found = [f"{spec.name} ({spec.kind}) was not rehearsed" for spec in others]
    found += copies.lacks
    if place.size == "schema":
        found.append("the copy held no rows, and nothing was written to it: nothing is said of rows, times and locks")
    elif place.size == "sampled":
        found.append(f"the copy held a sample of {copies.rows:,} rows: times are not those of the original")
        if any(trial.share for trial in trials):
            found.append(
                "the time for all rows is drawn out in a line: what a larger database does to memory and disks was not measured"
            )
    steps = {tuple(step.title for step in trial.steps) for trial in trials if trial.share is not None}
    if len(steps) > 1:
        found.append(
            "the rollback had other steps on the smaller copies than on the larger: the estimate may be far off"
        )
    if migration.quiet:
        found.append("nobody wrote while the migration ran: it vouches that this is so in production, too")
    missing = [name for name in DRILLS if name not in {trial.drill for trial in trials}]
    if missing:
        found.append(f"drills that were not asked for: {', '.join(missing)}")
    found += [
        f"drill {trial.drill}: {trial.detail}"
        for trial in trials
        if trial.status is CheckStatus.UNKNOWN and trial.drill
    ]
    return tuple(found)
