"""What Airflow sees of the package: the provider, its connection form, DAGs that load, and imports that cost little."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from airflow.sdk import DAG, TaskGroup, task

from rollback_provider.core.errors import ConfigurationError
from rollback_provider.get_provider_info import get_provider_info
from rollback_provider.guard import rollback_guard
from rollback_provider.hooks.rollback_store import RollbackStoreHook
from rollback_provider.store.connection import EXTRAS


def test_the_provider_info_follows_airflows_schema() -> None:
    import airflow
    from jsonschema import Draft7Validator

    with open(f"{airflow.__path__[0]}/provider_info.schema.json") as file:  # noqa: PTH123 - a namespace package has no file
        Draft7Validator(json.load(file)).validate(get_provider_info())


def test_every_module_that_is_named_can_be_imported() -> None:
    info = get_provider_info()
    for kind in ("operators", "sensors", "triggers", "hooks"):
        for entry in info[kind]:
            for module in entry["python-modules"]:
                import_module(module)


def test_the_connection_form_is_the_hooks() -> None:
    (form,) = get_provider_info()["connection-types"]
    assert form["connection-type"] == RollbackStoreHook.conn_type
    assert form["hook-name"] == RollbackStoreHook.hook_name
    assert form["hook-class-name"] == f"{RollbackStoreHook.__module__}.{RollbackStoreHook.__name__}"
    assert set(form["conn-fields"]) <= {*EXTRAS, "aws_conn_id"}


def test_the_samples_load(dags: Callable[[str], Any]) -> None:
    assert {"migrate", "verify_migration", "rollback.execute", "outcome"} <= set(dags("ecommerce_migration").task_ids)
    assert dags("rollback").task_ids[0] == "generate"


HEAVY = ("psycopg", "obstore", "boto3", "jsonschema", "zstandard", "great_expectations")


def test_parsing_a_dag_imports_nothing_heavy() -> None:
    code = """
        import sys
        import airflow
        from airflow.sdk import BaseOperator, BaseSensorOperator, BaseHook, TaskGroup, XComArg
        import airflow.providers.common.compat.sdk
        before = set(sys.modules)
        import rollback_provider.guard, rollback_provider.operators, rollback_provider.sensors
        print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    done = subprocess.run([sys.executable, "-c", lines], check=True, capture_output=True, text=True)
    added = set(done.stdout.split())
    assert "rollback_provider" in added
    assert added & set(HEAVY) == set()


@task
def nothing() -> None:
    """Does nothing."""


def guard(**changes: Any) -> Any:
    """Builds a guard, changed in one respect."""
    given: dict[str, Any] = {
        "migration": "shop",
        "components": [{"kind": "memory", "name": "shop", "system": "shop"}],
        "migrate": nothing,
        "verify": nothing,
    }
    return rollback_guard(**given | changes)


def test_the_guard_refuses_a_dag_whose_timeout_would_skip_the_rollback() -> None:
    from datetime import timedelta

    with (
        DAG("timed", schedule=None, dagrun_timeout=timedelta(hours=1)),
        pytest.raises(ConfigurationError, match="dagrun_timeout"),
    ):
        guard()


def test_the_guard_refuses_a_plain_function() -> None:
    with DAG("plain", schedule=None), pytest.raises(ConfigurationError, match="`migrate` is no task"):
        guard(migrate=lambda: None)


def test_the_guard_takes_operators_and_groups() -> None:
    with DAG("mixed", schedule=None) as dag:
        with TaskGroup("steps") as steps:
            first = nothing.override(task_id="first")()
            first >> [nothing.override(task_id="second")(), nothing.override(task_id="third")()]
        made = guard(migrate=steps, verify=nothing.override(task_id="looked_at")())
    assert made.outcome.work.migrate == ("steps.first", "steps.second", "steps.third")
    assert set(made.outcome.work.required) == {"steps.second", "steps.third", "checkpoint", "looked_at"}
    assert dag.get_task("steps.first").upstream_task_ids == {"snapshot"}
    assert dag.get_task("checkpoint").upstream_task_ids == {"snapshot", "steps.second", "steps.third"}


def test_the_guard_takes_a_mapped_task() -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    @task
    def one(part: int) -> int:
        return part

    with DAG("mapped", schedule=None) as dag:
        made = guard(migrate=one.expand(part=[1, 2]))
    assert made.outcome.work.migrate == ("one",)
    assert dag.get_task("one").unmap({"op_kwargs": {"part": 1}})._pre_execute_hook
    assert DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).task_ids


def test_the_guards_tasks_resist_the_dags_default_arguments() -> None:
    from datetime import timedelta

    with DAG("impatient", schedule=None, default_args={"execution_timeout": timedelta(seconds=1), "retries": 0}) as dag:
        guard()
    execute = dag.get_task("rollback.execute")
    assert (execute.execution_timeout, execute.retries) == (None, 2)
    assert execute.doc_md == "Executes the rollback, if one was planned."
