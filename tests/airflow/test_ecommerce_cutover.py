"""The sample cutover of a whole shop on real systems, while customers and an application go on: its own rule fails, and all goes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from rollback_provider.core.record import load_record
from rollback_provider.demo.application import Application
from rollback_provider.demo.machines import Machines, running_machines
from rollback_provider.demo.tally import count_writes, read_log
from rollback_provider.demo.users import Users
from rollback_provider.demo.web import describe
from rollback_provider.store import open_store
from tests.airflow.test_ecommerce import ROWS
from tests.fix_airflow import HOME, ROOT, Run
from tests.fix_postgres import Database
from tests.parts import DEBIAN


def seen(machines: Machines) -> list[dict[str, Any]]:
    """What customers see on either server."""
    return [describe(slot, machines.home) for slot in ("blue", "green")]


def test_a_whole_shop_goes_back_and_no_customer_notices(
    run_dag: Callable[..., Run], database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database.run((ROOT / "dags/ecommerce/schema.sql").read_text("utf-8") + ROWS)
    url = f"file://{tmp_path}/store"
    with running_machines(HOME / "machines", DEBIAN) as machines, (tmp_path / "writes").open("w") as log:
        connections = {
            **machines.connections,
            "ecommerce_db": {
                "conn_type": "postgres",
                "host": database.socket,
                "login": database.user,
                "schema": database.name,
            },
            "rollback_store_default": {"conn_type": "rollback_store", "host": url},
        }
        for name, connection in connections.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
        before = seen(machines)
        users = Users(machines.url, ["ada", "grace"])
        application = Application(database.dsn, log)
        writing = Thread(target=application.run)
        writing.start()
        try:
            with users.coming():
                run = run_dag("ecommerce_cutover", {})
        finally:
            application.stop.set()
            writing.join()
        assert (run.state, run.xcom("outcome", "outcome")) == ("failed", "ROLLED_BACK")
        assert {task for task, state in run.states.items() if state == "failed"} == {"verify_migration", "outcome"}
        assert seen(machines) == before
    assert not users.errors
    assert users.ways == {name: ["blue", "green", "blue"] for name in users.ways}
    store = open_store(url)
    record = load_record(store, run.xcom("rollback.verify"))
    assert record.execution.status == "verified"
    assert {step.component for step in record.execution.steps} == {spec["name"] for spec in record.snapshot.components}
    with database.connect() as session:
        assert count_writes(session, read_log(tmp_path / "writes"), []).complete
