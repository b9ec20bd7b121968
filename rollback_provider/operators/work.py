"""The user's own tasks inside a guard, as a run has left them."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

WAITING = {None, "queued", "scheduled"}
"""States of a task that is still going to run."""
NEVER_RAN = {"removed", "upstream_failed"}
"""States that prove that a task has not run. Skipped proves nothing: marking a run skips a task that waits for its next try, too."""


class Work:
    """The user's own tasks inside the guard, as a run has left them. Their ids are known only when the DAG is wired."""

    migrate: tuple[str, ...] = ()
    """Ids of the tasks that migrate."""
    required: tuple[str, ...] = ()
    """Ids of the tasks that must all have succeeded for the migration to count as verified."""

    def watch(self, *, migrate: Collection[str], required: Collection[str]) -> None:
        """Sets the ids."""
        self.migrate, self.required = tuple(migrate), tuple(required)

    def verified(self, context: Any) -> bool:
        """Whether every required task has succeeded."""
        states = _states(context, self.required)
        return all(_of(states, task_id) == {"success"} for task_id in self.required)

    def never_ran(self, context: Any) -> bool:
        """Whether the migration certainly has not run."""
        states = set(_states(context, self.migrate).values())
        return bool(states) and states <= NEVER_RAN

    def migration_waits(self, context: Any) -> bool:
        """Whether the migration is still going to run."""
        return bool(set(_states(context, self.migrate).values()) & WAITING)

    def verification_waits(self, context: Any) -> bool:
        """Whether something on which the verdict rests is still going to run."""
        return bool(set(_states(context, self.required).values()) & WAITING)

    def causes(self, context: Any) -> str:
        """What became of the tasks that did not succeed, for people."""
        wanted = (*self.migrate, *self.required)
        wrong = {task_id: state for task_id, state in _states(context, wanted).items() if state != "success"}
        first = {task_id: state for task_id, state in wrong.items() if state == "failed"} or wrong
        return ", ".join(
            f"{task_id}: {str(state or 'not run').replace('_', ' ')}" for task_id, state in sorted(first.items())
        )


def _states(context: Any, task_ids: Collection[str]) -> dict[str, str | None]:
    """States of these tasks in this run; a mapped task has one for each index: ``task_id_0``, ``task_id_1``."""
    ti = context["ti"]
    found: dict[str, str | None] = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    return {name: state for name, state in found.items() if any(_is(name, task_id) for task_id in task_ids)}


def _of(states: dict[str, str | None], task_id: str) -> set[str | None]:
    return {state for name, state in states.items() if _is(name, task_id)}


def _is(name: str, task_id: str) -> bool:
    return name == task_id or bool(re.fullmatch(rf"{re.escape(task_id)}_\d+", name))
