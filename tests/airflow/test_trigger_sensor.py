"""The sensor that watches a migration: what it refuses when the DAG is parsed, and what it does where there is no answer."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk.exceptions import TaskDeferred

from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.model import utcnow
from rollback_provider.probes.watching import Watch
from rollback_provider.sensors import RollbackTriggerSensor
from tests.fix_postgres import Database
from tests.fix_prometheus import Prometheus
from tests.parts import free_port

PROBE = {"kind": "prometheus", "connection": "prometheus", "query": "vector(1)"}
CONDITION = {"name": "errors", "probe": PROBE, "above": 5}


@pytest.fixture(autouse=True)
def _connections(prometheus: Prometheus, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    port = prometheus.port
    monkeypatch.setenv("AIRFLOW_CONN_PROMETHEUS", json.dumps({"conn_type": "http", "host": "127.0.0.1", "port": port}))
    monkeypatch.setenv("AIRFLOW_CONN_DOWN", json.dumps({"conn_type": "http", "host": "127.0.0.1", "port": free_port()}))
    fields = {"conn_type": "postgres", "host": database.socket, "login": database.user, "schema": database.name}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", json.dumps(fields))


def sensor(**what: Any) -> RollbackTriggerSensor:
    """The task."""
    given: dict[str, Any] = {
        "conditions": [CONDITION],
        "bake": timedelta(seconds=0.3),
        "interval": timedelta(seconds=0.05),
    }
    return RollbackTriggerSensor(**given | what | {"task_id": "watch"})


class Run:
    """Runs the task, each measurement in a triggerer of its own, as one that dies all the time would."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}
        self.deferred = 0

    def __call__(self, task: RollbackTriggerSensor) -> Any:
        """What it returns."""
        ti = SimpleNamespace(task_id="watch", xcom_push=lambda key, value: self.pushed.update({key: value}))
        context = {"ti": ti}
        try:
            return task.execute(context)
        except TaskDeferred as deferred:
            trigger = deferred.trigger
        while True:
            self.deferred += 1
            path, arguments = trigger.serialize()
            module, _, name = path.rpartition(".")
            again = getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))
            event = json.loads(json.dumps(asyncio.run(_event(again))))
            try:
                return task.execute_complete(context, event)
            except TaskDeferred as deferred:
                trigger = deferred.trigger


async def _event(trigger: Any) -> Any:
    async for fired in trigger.run():
        return fired.payload
    raise AssertionError("nothing was fired")


def probe(kind: str, **what: Any) -> dict[str, Any]:
    """A condition that cannot be measured."""
    return {"name": "errors", "probe": {"kind": kind, "timeout": 0.2, **what}, "above": 5}


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (probe("prometheus", connection="down", query="vector(1)"), "the server gives no answer (ConnectError)"),
        (
            probe("prometheus", connection="prometheus", query="rate(x"),
            'Prometheus refuses the query: invalid parameter "query": 1:7: parse error',
        ),
        (probe("prometheus", connection="prometheus", query="missing"), "there is no such series"),
        (probe("sql", connection="shop_db", query="select pg_sleep(9)"), "no answer within 0.2 s"),
        (probe("sql", connection="shop_db", query="selec 1"), "PostgreSQL refuses the query: syntax error"),
        (probe("sql", connection="gone", query="select 1"), "Airflow has no connection 'gone'"),
    ],
)
def test_what_has_no_answer_counts_as_a_breach(condition: dict[str, Any], reason: str) -> None:
    run = Run()
    with pytest.raises(AirflowFailException, match="was unknown at the end of 2 measurements in a row"):
        run(sensor(conditions=[condition], breaches=2, bake=timedelta(hours=1)))
    cause = run.pushed["rollback_cause"]
    assert reason in cause["what"]
    assert [reading["value"] for reading in cause["signals"][0]["readings"]] == [None, None]
    assert run.deferred == 2, "each breach is kept by Airflow"


def test_a_clean_window_ends_with_success() -> None:
    run = Run()
    (signal,) = run(sensor())
    assert run.deferred == 1
    assert {reading["value"] for reading in signal["readings"]} == {1}
    assert not run.pushed


def test_the_window_is_an_absolute_time() -> None:
    task = sensor(bake=timedelta(hours=1))
    with pytest.raises(TaskDeferred) as deferred:
        task.execute({})
    watch = Watch.model_validate(deferred.value.trigger.serialize()[1]["watch"])
    passed = watch.model_copy(update={"until": utcnow() - timedelta(hours=5)})
    event = asyncio.run(_event(type(deferred.value.trigger)(watch=passed.to_json())))
    assert len(task.execute_complete({}, event)[0]["readings"]) == 1


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"conditions": [{"name": "errors", "probe": PROBE}]}, "errors is malformed.*no threshold"),
        ({"conditions": []}, "No conditions"),
        ({"unknown": "hope"}, "'hope'"),
        ({"bake": timedelta()}, "must be positive"),
        ({"impact": {"requests": {"kind": "ldap"}}}, "A probe is malformed"),
    ],
)
def test_what_makes_no_sense_is_refused_when_the_dag_is_parsed(what: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        sensor(**what)
