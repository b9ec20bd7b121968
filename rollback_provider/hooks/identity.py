"""Who acts, for the records: the task, its run, and the person behind it."""

from __future__ import annotations

from typing import Any


def run_label(context: Any) -> str:
    """Names the DAG run: ``airflow orders/manual__2026-11-23T15:11:01``. Records made in one run share it."""
    ti = context["ti"]
    return f"airflow {ti.dag_id}/{ti.run_id}"


def task_actor(context: Any) -> str:
    """Names the task and, where Airflow knows, who triggered the run: ``airflow orders/manual__…/snapshot (started by ada)``."""
    ti = context["ti"]
    task = ti.task_id if ti.map_index is None or ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
    person = getattr(context.get("dag_run"), "triggering_user_name", None)
    return f"{run_label(context)}/{task}" + (f" (started by {person})" if person else "")
