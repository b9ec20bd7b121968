"""The sample DAG rehearses the shop's migration on a real PostgreSQL; only then does the guarded one start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rollback_provider.core.rehearsal.certificate import load_certificate
from rollback_provider.core.rehearsal.run import load_rehearsal
from rollback_provider.store import open_store
from tests.airflow.test_ecommerce import ROWS, contents
from tests.fix_airflow import HOME, ROOT, Run
from tests.fix_postgres import Database


def test_no_certificate_no_migration(
    run_dag: Callable[..., Run], database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database.run((ROOT / "dags/ecommerce/schema.sql").read_text("utf-8") + ROWS)
    before = contents(database)
    address = {"conn_type": "postgres", "host": database.socket, "login": database.user}
    url = f"file://{tmp_path}/store"
    for name, connection in {
        "ecommerce_db": address | {"schema": database.name},
        "rehearsal_db": address | {"schema": f"{database.name}_rehearsal"},
        "rollback_store_default": {"conn_type": "rollback_store", "host": url},
    }.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))

    assert run_dag("waits_for_certificate", {}).states["wait"] == "failed"
    refused = run_dag("certified", {})
    assert (refused.states["certificate"], refused.states["migrate"]) == ("failed", "upstream_failed")
    assert refused.xcom("outcome", "outcome") == "NOT_STARTED"
    assert contents(database) == before

    rehearsed = run_dag("weekly_rehearsal", {})
    assert rehearsed.state == "success"
    rehearsal_id = rehearsed.xcom("rehearse")
    rehearsal = load_rehearsal(open_store(url), rehearsal_id)
    assert rehearsal.drills == ("backend_killed", "half_applied", "conflicting_writer")
    assert contents(database) == before
    assert database.rows(f"select datname from pg_database where datname like '{database.name}\\__%'") == []
    page = (HOME / "reports" / f"{rehearsal_id}.html").read_text("utf-8")
    assert "drill" not in page.partition("What is not covered")[0].partition("<main>")[0]
    assert "backend_killed: session ended in the middle of a statement" in page
    assert "# Rehearsal of shop-delivery-notes" in (HOME / "reports" / f"{rehearsal_id}.md").read_text("utf-8")

    certificate = load_certificate(open_store(url), rehearsed.xcom("rehearse", "certificate_id"))
    assert run_dag("waits_for_certificate", {}).xcom("wait") == certificate.id
    migrated = run_dag("certified", {})
    assert (migrated.state, migrated.xcom("certificate")) == ("success", certificate.id)
    assert database.rows("select to_regclass('promotions')") == [(None,)], "it has migrated"
