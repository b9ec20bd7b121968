"""The plan of a rollback: the schema's difference as DDL, the rows' three-way merge, the sequences."""

from __future__ import annotations

from rollback_provider.components.postgres.access import check_allowed
from rollback_provider.components.postgres.actions import flat
from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.horizon import REACH, Horizon, current_xmin
from rollback_provider.components.postgres.images import load_deltas
from rollback_provider.components.postgres.planning.conversions import converts
from rollback_provider.components.postgres.planning.desk import Desk, Situation
from rollback_provider.components.postgres.planning.planner import DataPlanner
from rollback_provider.components.postgres.reversal import Reversal
from rollback_provider.components.postgres.reverse import retyped, reverse
from rollback_provider.components.postgres.selection import Selection
from rollback_provider.components.postgres.sequences import behind
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.steps import assemble, one_transaction_rows
from rollback_provider.components.postgres.tracking.changes import entries_of
from rollback_provider.components.postgres.verifying.writers import Settled
from rollback_provider.components.postgres.view import View, catalog_of
from rollback_provider.core.base import Json
from rollback_provider.core.errors import UnsupportedError
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import ComponentPlan, ComponentState, Policy


def plan_rollback(
    view: View,
    snapshot: ComponentState,
    checkpoint: ComponentState | None,
    policy: Policy,
    ledger: LedgerWriter,
) -> ComponentPlan:
    """The way from what `view` sees to the snapshot.

    :param checkpoint: what the migration changed; without it everything that has changed since the snapshot is ambiguous

    Raises UnsupportedError and ConflictError, both naming what stands in the way.
    """
    session, blobs, name = view.session, view.blobs, view.spec.name
    then = catalog_of(snapshot, blobs)
    now = view.catalog(since=then)
    selection = Selection.of(policy, then, now)
    types = {(r.oid, r.number): r for r in retyped(selection.target, now)}
    unconvertible = frozenset(key for key, r in types.items() if not converts(session, r))
    whole = Base(snapshot.payload["rows"], None, blobs)
    reversal = selection.narrowed(reverse(selection.target, now, unconvertible=unconvertible), whole)
    _refuse(reversal, snapshot, name)
    changes = checkpoint or view.changes(snapshot)
    source = {"rows": snapshot.payload["rows"], "catch_up": changes.payload["catchUp"]}
    base = Base(source["rows"], source["catch_up"], blobs)
    loaded = changes.payload.get("loaded")
    deltas = load_deltas(changes.payload["deltas"], blobs)
    situation = Situation(
        base=base,
        deltas={oid: d for oid, d in deltas.items() if selection.merged is None or oid in selection.merged},
        reversal=reversal,
        retyped=types,
        unconvertible=unconvertible,
        since=Horizon.of(changes.payload),
        attributed=checkpoint is not None,
        policy=policy,
        traceable=then.same_history(now)
        and changes.payload["fingerprint"] == now.fingerprint()
        and _has_happened(session, Horizon.of(changes.payload)),
        rows=selection.rows,
        loaded=Base(loaded["rows"], loaded["catch_up"], blobs) if loaded else None,
        untold=frozenset(changes.payload.get("untold", ())),
    )
    desk = Desk(name, session, view.copier, situation, blobs, ledger, view.progress)
    _list_contested(desk, changes, selection)
    planner = DataPlanner(desk)
    sequences = selection.sequences(then, snapshot.payload["sequences"])
    at_once = one_transaction_rows(session)
    steps = assemble(name, reversal, planner, behind(session, sequences, reversal.sequences), source, at_once)
    check_allowed(session, reversal, [action for step in steps for action in flat(step.payload["actions"])], name)
    return ComponentPlan(
        component=name,
        fingerprint=now.fingerprint(),
        steps=steps,
        notes=(*reversal.notes, *_vouched(checkpoint), *changes.payload.get("notes", ())),
        payload=source | selection.payload(reversal, base, sequences, blobs) | _settled(situation, changes),
    )


def _settled(situation: Situation, changes: ComponentState) -> Json:
    """For verification: up to when and in which tables this plan deals with all that was written.

    Not where a rollback is undone: what it wrote again of others' rows, such as when it converted a column, bears its transaction ids.
    """
    if situation.loaded:
        return {}
    tables = {oid for oid in situation.base.tables if situation.attributes(oid) or situation.policy.ambiguous != "keep"}
    settled = Settled(
        situation.since, situation.attributed, frozenset(tables - situation.rows.keys()), changes.payload["deltas"]
    )
    return {"settled": settled.to_json()}


def _has_happened(session: Session, since: Horizon) -> bool:
    """Whether rows that are older than a checkpoint are what it saw: it is sealed before its migration commits, which can fail."""
    row = session.execute(
        "select bool_and(coalesce(pg_xact_status(xid::xid8) = 'committed', false)) from unnest(%s::text[]) xid",
        [[str(xid) for xid in since.own]],
    ).fetchone()
    return current_xmin(session) - since.xmin < REACH and (not since.own or bool(row and row[0]))


def _refuse(reversal: Reversal, snapshot: ComponentState, component: str) -> None:
    moved = [table.scope for table in reversal.dropped if table.oid in snapshot.payload["outside"]]
    refusals = [
        *reversal.refusals,
        *(f"table {name} was moved here from a schema outside the snapshot" for name in moved),
    ]
    if refusals:
        raise UnsupportedError(
            "This migration cannot be taken back: " + "; ".join(refusals),
            component=component,
            next_step="Undo these by hand, then generate again",
        )


def _list_contested(desk: Desk, changes: ComponentState, selection: Selection) -> None:
    """Lists what applications wrote between two writes of the migration: the plan brings it back, or it goes with the migration's row."""
    wanted = {
        rows.table.scope
        for oid, rows in desk.situation.base.tables.items()
        if selection.merged is None or oid in selection.merged
    }
    for entry in entries_of(changes.payload.get("contested", ()), desk.blobs):
        if entry.scope in wanted:
            desk.conflicts += 1
            desk.ledger.add(entry)


def _vouched(checkpoint: ComponentState | None) -> list[str]:
    """What a plan takes on somebody's word."""
    if checkpoint is None or not checkpoint.payload.get("vouched", checkpoint.payload["own"] is None):
        return []
    rows = checkpoint.summary.get("rows changed", 0)
    said = f"all {rows:,} rows written between snapshot and checkpoint count as the migration's"
    return [f"{said}, on the word of whoever took the checkpoint that nobody else wrote"]
