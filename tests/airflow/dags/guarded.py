"""A guarded migration of a memory system. Environment variables say what goes wrong, so that a second try can go another way."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from rollback_provider.guard import rollback_guard


@task
def check() -> None:
    """Fails when told to."""
    if os.environ.get("CHECK") == "fail":
        raise ValueError("order 1 costs nothing")


with DAG("guarded", schedule=None, params={"system": "", "store": "", "kind": "memory"}):

    @task
    def prepare() -> None:
        """Fails before the migration begins, when told to."""
        if os.environ.get("PREPARE") == "fail":
            raise RuntimeError("not prepared")

    @task
    def migrate(snapshot_id: str, params: dict[str, Any] | None = None) -> None:
        """Changes one scope and removes another; dies in between when told to."""
        from tests.airflow.scenario import migrate_shop

        migrate_shop(params or {}, snapshot_id, os.environ.get("MIGRATE", ""))

    guard = rollback_guard(
        migration="shop",
        components=[{"kind": "{{ params.kind }}", "name": "shop", "system": "{{ params.system }}"}],
        store="{{ params.store }}",
        quiet=True,
        migrate=migrate,
        verify=check,
        task_args={"retries": 0, "retry_delay": timedelta()},
    )
    prepare() >> guard.migrate


with DAG("unvouched", schedule=None, params={"system": "", "store": ""}):
    rollback_guard(
        migration="shop",
        components=[{"kind": "memory", "name": "shop", "system": "{{ params.system }}"}],
        store="{{ params.store }}",
        migrate=migrate,
        verify=check,
        task_args={"retries": 0},
    )


@task(task_id="migrate")
def migrate_all(params: dict[str, Any] | None = None) -> None:
    """Migrates three systems."""
    from tests.airflow.scenario import migrate_shop

    for name in ("", "-site", "-flags"):
        migrate_shop({"system": f"{(params or {})['system']}{name}"}, "", "")


with DAG("several", schedule=None, params={"system": "", "store": "", "kind": "memory"}):
    rollback_guard(
        migration="shop",
        components=[
            {"kind": "memory", "name": "shop", "system": "{{ params.system }}"},
            {"kind": "{{ params.kind }}", "name": "site", "system": "{{ params.system }}-site", "after": ["shop"]},
            {"kind": "memory", "name": "flags", "system": "{{ params.system }}-flags"},
        ],
        store="{{ params.store }}",
        quiet=True,
        migrate=migrate_all,
        verify=check,
        task_args={"retries": 0, "retry_delay": timedelta()},
    )


with DAG("decided", schedule=None, params={"system": "", "store": ""}):
    orders = {"kind": "http", "connection": "shop_site", "path": "/health"}
    rollback_guard(
        migration="shop",
        components=[{"kind": "memory", "name": "shop", "system": "{{ params.system }}"}],
        store="{{ params.store }}",
        quiet=True,
        criteria=[
            {"kind": "snapshot", "max_age": 60},
            {"kind": "conditions", "conditions": [{"name": "health", "probe": orders, "above": 299}]},
            {"kind": "person"},
        ],
        migrate=migrate,
        verify=check,
        task_args={"retries": 0},
    )


def checks(when: str) -> list[dict[str, Any]]:
    """What must hold of the shop's orders."""
    return [
        {
            "kind": "callable",
            "name": "order 1 costs something",
            "callable": "tests.airflow.scenario:costs_something",
            "arguments": {"system": "{{ params.system }}"},
            "when": when,
        }
    ]


for dag_id, when, verify in (("checked", "both", None), ("checked_beside", "rollback", check)):
    with DAG(dag_id, schedule=None, params={"system": "", "store": ""}):
        rollback_guard(
            migration="shop",
            components=[{"kind": "memory", "name": "shop", "system": "{{ params.system }}"}],
            store="{{ params.store }}",
            quiet=True,
            migrate=migrate,
            verify=verify,
            checks=checks(when),
            task_args={"retries": 0, "retry_delay": timedelta()},
        )
with DAG("tracked", schedule=None, params={"store": "", "dsn": ""}):

    @task.bash(env={"PGOPTIONS": "-c rollback.snapshot={{ ti.xcom_pull('snapshot') }}"}, append_env=True)
    def tool() -> str:
        """A program that commits as it goes, and dies."""
        return (
            f"exec {sys.executable} -c 'import os, psycopg, sys; tool = psycopg.connect(sys.argv[1], autocommit=True);"
            ' tool.execute("update orders set total = 0 where id = 1");'
            ' other = psycopg.connect(sys.argv[1], options="-c rollback.snapshot=", autocommit=True);'
            ' other.execute("update orders set total = 31 where id = 3");'
            ' tool.execute("update orders set total = 0 where id = 2");'
            " os.kill(os.getpid(), 9)' '{{ params.dsn }}'"
        )

    rollback_guard(
        migration="orders",
        components=[{"kind": "postgres", "name": "orders", "connection": "orders_db"}],
        store="{{ params.store }}",
        track=True,
        migrate=tool(),
        verify=check,
        task_args={"retries": 0},
    )
