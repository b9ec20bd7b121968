"""Runs the downgrade of a tool, between two looks at the database.

What was written until then is kept, the tool runs, and what it has made of the database is looked at. Killed anywhere, it is run again
where it has not arrived; what was kept before the first attempt stays what counts.
"""

from __future__ import annotations

from rollback_provider.components.postgres.downgrade.half import Half
from rollback_provider.components.postgres.downgrade.tool import history, named
from rollback_provider.components.postgres.salvage import Salvage
from rollback_provider.core.errors import ComponentError, DriftError, StepFailedError
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import Ledger, StepOutcome


def downgrade(half: Half) -> StepOutcome:
    """Does what is left of the step."""
    if "before" not in half.noted:
        _keep(half)
    if "after" not in half.noted:
        failure = _run(half)
        with half.viewing() as view:
            after = view.changes_of_base(half.aim.snapshot, half.aim.left)
            arrived = named(history(view.session, half.tool))
        half.note(after=after.payload, failure=failure, arrived=arrived)
    noted = half.noted
    detail = f"{half.tool.name} is at {noted['arrived']}"
    if noted["failure"]:
        detail += f" and has failed, so the rest is done without it: {noted['failure']}"
    return StepOutcome(changed=True, detail=detail, ledger=Ledger.model_validate(noted["ledger"]))


def _keep(half: Half) -> None:
    """Keeps what was written until now, and lists what of it has no place in the snapshot's schema."""
    ledger = LedgerWriter(half.blobs)
    planned = half.step.payload["now"]
    with half.viewing() as view:
        now = history(view.session, half.tool)
        if now != tuple(planned):
            raise DriftError(
                f"{half.tool.name} stood at {named(planned)} when this was planned, and stands at {named(now)}",
                component=half.component,
            )
        before = view.changes_of_base(half.aim.snapshot, half.aim.left)
        half.aim.refuse_untold(before)
        for action in half.step.payload["salvage"]:
            for entry in Salvage.from_json(action).entries(view.session, half.component):
                ledger.add(entry)
    half.note(before=before.payload, ledger=ledger.seal().to_json())


def _run(half: Half) -> str:
    """Runs the tool where it has not arrived; gives why it failed, if it did."""
    target = tuple(half.step.payload["target"])
    now = history(half.session, half.tool)
    for arguments in half.tool.downgrade(now, target) if now != target else ():
        half.progress.message(f"{half.component}: {half.tool.shown(arguments)}")
        try:
            half.tool.run(arguments, lambda seconds: _wait(half, seconds))
        except StepFailedError as error:
            half.progress.message(f"{half.component}: {error.what}")
            return error.what
    return ""


def _wait(half: Half, seconds: float) -> None:
    half.cancelled.wait(seconds)
    if half.cancelled.is_set():
        raise ComponentError(
            f"Cancelled while {half.tool.name} ran",
            component=half.component,
            state=f"{half.tool.name} was ended; what was written until then is kept",
            next_step="Execute the same rollback again",
        )
