"""The plan of a rollback through a tool: its command, then the repair of what that has not done or has lost.

The ledger is the engine's: where each row ends does not depend on the tool.
"""

from __future__ import annotations

import json
import shlex

from rollback_provider.clients.migration_tools import MigrationTool
from rollback_provider.components.postgres.actions import flat
from rollback_provider.components.postgres.downgrade.target import Aim
from rollback_provider.components.postgres.downgrade.tool import agreed, named
from rollback_provider.components.postgres.planning.rollback import plan_rollback
from rollback_provider.components.postgres.view import View
from rollback_provider.core.base import Json
from rollback_provider.core.errors import UnsupportedError
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import Action, ComponentPlan, ComponentState, LedgerEntry, Policy, Step


class _Recording(LedgerWriter):
    """A ledger that keeps which rows were listed as conflicts."""

    def __init__(self, ledger: LedgerWriter) -> None:
        self._inner = ledger
        self.conflicts: list[Json] = []

    def add(self, entry: LedgerEntry) -> None:
        """Passes it on."""
        if entry.action is Action.CONFLICT_KEPT:
            self.conflicts.append({"scope": entry.scope, "key": [*entry.key.values()]})
        self._inner.add(entry)

    def examined(self, component: str, scope: str, rows: int) -> None:
        """Passes it on."""
        self._inner.examined(component, scope, rows)


def plan_downgrade(
    view: View,
    tool: MigrationTool,
    snapshot: ComponentState,
    checkpoint: ComponentState | None,
    policy: Policy,
    ledger: LedgerWriter,
) -> ComponentPlan:
    """The way back to the snapshot through `tool`. Raises UnsupportedError, by name, where it would not be exact."""
    name, blobs = view.spec.name, view.blobs
    captured = snapshot.payload.get("versions")
    if checkpoint is None or captured is None or policy.partial or policy.conflicts == "restore":
        raise UnsupportedError(
            f"{tool.name} cannot go down here: {_obstacle(checkpoint, captured, policy)}",
            component=name,
            next_step="Generate without the downgrade",
        )
    target = tuple(captured)
    now = agreed(view.session, tool, view.spec)
    recording = _Recording(ledger)
    engine = plan_rollback(view, snapshot, checkpoint, policy, recording)
    if now == target:
        return engine.model_copy(
            update={"notes": (f"{tool.name} stands at {named(now)} already: it is not run", *engine.notes)}
        )
    commands = tool.downgrade(now, target)
    aim = Aim(name, snapshot, checkpoint, blobs)
    aim.refuse_untold(view.changes_of_base(snapshot, checkpoint))
    base = {"rows": snapshot.payload["rows"], "catch_up": checkpoint.payload["catchUp"]}
    shared = {"actions": [], "base": base, "snapshot": snapshot.to_json(), "left": checkpoint.to_json()}
    salvage = [a for step in engine.steps for a in flat(step.payload["actions"]) if a["do"] == "salvage"]
    down, repair = f"{name}-01", f"{name}-02"
    steps = (
        Step(
            id=down,
            component=name,
            title=f"Downgrade with {tool.name}: from {named(now)} to {named(target)}",
            section="application",
            script="\n".join([f"cd {shlex.quote(tool.directory)}", *map(tool.shown, commands)]),
            payload=shared
            | {"mode": "downgrade", "commands": commands, "now": now, "target": target, "salvage": salvage},
            locks=f"what {tool.name} locks",
        ),
        Step(
            id=repair,
            component=name,
            title="Complete the downgrade, and bring back what it has lost",
            section="database",
            script="\n".join(
                ["-- Of this, what the downgrade leaves undone or undoes; planned when it has run:", *_script(engine)]
            ),
            payload=shared
            | {
                "mode": "repair",
                "downgrade": down,
                "listed": blobs.put_blob(json.dumps(recording.conflicts).encode()).digest,
                "policy": policy.model_copy(update={"conflicts": "keep"}).to_json(),
            },
            locks="; ".join(dict.fromkeys(step.locks for step in engine.steps if step.locks)),
        ),
    )
    notes = (
        f"while {tool.name} runs nobody else may write: what is written then counts as its doing, and is listed where it goes",
        f"where {tool.name} fails or does too little, the rest is done without it",
        f"this rollback cannot be undone: run the upgrade of {tool.name} again",
        *engine.notes,
    )
    payload = engine.payload | {"downgrade": repair}
    return engine.model_copy(update={"steps": steps, "notes": notes, "payload": payload})


def _obstacle(checkpoint: ComponentState | None, captured: object, policy: Policy) -> str:
    if checkpoint is None:
        return "no checkpoint tells the migration's changes from later ones, which its downgrade may lose"
    if captured is None:
        return "the snapshot does not tell its version then: the component named no `migration_tool`"
    return "it takes back everything" if policy.partial else "conflicts cannot be restored as they were approved"


def _script(plan: ComponentPlan) -> list[str]:
    return [f"-- {line}" for step in plan.steps for line in step.script.splitlines()]
