"""A rollback that is undone as snapshot and checkpoint: the state before it, and what it has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rollback_provider.components.postgres.images import save_deltas, save_rows
from rollback_provider.components.postgres.reverse import retyped, reverse
from rollback_provider.components.postgres.undo.done import Done
from rollback_provider.components.postgres.undo.recovery import Recovery
from rollback_provider.components.postgres.view import View, catalog_of
from rollback_provider.core.base import Json
from rollback_provider.core.model import ComponentPlan, ComponentState


def states(
    view: View,
    snapshot: ComponentState,
    before: ComponentState,
    plan: ComponentPlan,
    notes: Callable[[str], Sequence[Json]],
) -> tuple[ComponentState, ComponentState]:
    """Both states of a rollback to `snapshot`, from what was kept `before` it and its notes."""
    blobs = view.blobs
    then, was = catalog_of(snapshot, blobs), catalog_of(before, blobs)
    done = Done.of(view.session, plan, notes)
    converted = {(each.oid, each.number): each for each in retyped(then, was)}
    recovery = Recovery(view.session, snapshot, before, done, converted, blobs, view.progress)
    found = recovery.tables(reverse(then, was))
    whole = {key: value for key, value in before.payload.items() if key not in {"deltas", "missing"}}
    state = whole | {
        "rows": save_rows([each.rows for each in found], blobs),
        "deltas": save_deltas([each.replaced for each in found if each.replaced], blobs),
    }
    changed = state | {
        "catchUp": state["deltas"],
        "deltas": save_deltas([each.left for each in found if each.left], blobs),
        "own": sorted(done.own),
        "loaded": plan.payload,
    }
    counts = {"tables": len(found), "rows": sum(each.rows.rows for each in found)}
    return (
        before.model_copy(update={"payload": state, "summary": counts}),
        before.model_copy(update={"payload": changed, "summary": counts}),
    )
