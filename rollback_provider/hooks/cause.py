"""Why a migration is taken back: told by the task that found it, read by the one that plans the rollback."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from rollback_provider.core.cause import Cause

KEY = "rollback_cause"
"""Of the XCom that a task behind the migration pushes before it fails."""


def push_cause(context: Any, cause: Cause) -> None:
    """Tells, before the task fails."""
    context["ti"].xcom_push(key=KEY, value=cause.to_json())


def told_causes(context: Any, task_ids: Collection[str]) -> list[Cause]:
    """What these tasks have told in this run."""
    ti = context["ti"]
    found = (ti.xcom_pull(task_ids=task_id, key=KEY) for task_id in task_ids)
    return [Cause.model_validate(each) for each in found if isinstance(each, dict)]
