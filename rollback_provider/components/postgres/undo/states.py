"""A rollback that is undone as snapshot and checkpoint: the state before it, and what it has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rollback_provider.components.postgres.catalog import Catalog
from rollback_provider.components.postgres.images import save_deltas, save_rows
from rollback_provider.components.postgres.reverse import retyped, reverse
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.undo.done import Done
from rollback_provider.components.postgres.undo.recovery import Recovery
from rollback_provider.core.component import Blobs, Progress
from rollback_provider.core.model import ComponentPlan, ComponentState, Json


def states(
    session: Session,
    snapshot: tuple[ComponentState, Catalog],
    before: tuple[ComponentState, Catalog],
    plan: ComponentPlan,
    notes: Callable[[str], Sequence[Json]],
    blobs: Blobs,
    progress: Progress,
) -> tuple[ComponentState, ComponentState]:
    """Both states of a rollback to `snapshot`, from what was kept `before` it and its notes."""
    (led_to, then), (kept, was) = snapshot, before
    done = Done.of(session, plan, notes)
    converted = {(each.oid, each.number): each for each in retyped(then, was)}
    found = Recovery(session, led_to, kept, done, converted, blobs, progress).tables(reverse(then, was))
    whole = {key: value for key, value in kept.payload.items() if key not in {"deltas", "missing"}}
    state = whole | {
        "rows": save_rows([each.rows for each in found], blobs),
        "catchUp": save_deltas([each.replaced for each in found if each.replaced], blobs),
    }
    changed = state | {
        "deltas": save_deltas([each.left for each in found if each.left], blobs),
        "own": sorted(done.own),
        "loaded": plan.payload,
    }
    counts = {"tables": len(found), "rows": sum(each.rows.rows for each in found)}
    return (
        kept.model_copy(update={"payload": state, "summary": counts}),
        kept.model_copy(update={"payload": changed, "summary": counts}),
    )
