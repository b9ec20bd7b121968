"""The sample release of an application: its tests fail, and the release before is there again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rollback_provider.core.record import load_record
from rollback_provider.store import open_store
from tests.fix_airflow import HOME, Run
from tests.parts.repository import git, make_repository


@pytest.mark.parametrize(("code", "outcome", "version"), [(1, "ROLLED_BACK", "1"), (0, "MIGRATED", "2")])
def test_a_release_whose_tests_fail_is_taken_back(
    run_dag: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    code: int,
    outcome: str,
    version: str,
) -> None:
    root = tmp_path / "application"
    checks = f"#!/bin/sh\necho the total is wrong >&2\nexit {code}\n"
    make_repository(root / "repository", {f"v{n}": {"version": str(n), "run-tests": checks} for n in (1, 2)})
    for tag in ("v1", "v2"):
        git(root / "repository", "checkout", "--quiet", tag)
        shutil.copytree(root / "repository", root / "releases" / tag, ignore=shutil.ignore_patterns(".git"))
    (root / "web").symlink_to("releases/v1")
    place = HOME / "application"
    place.symlink_to(root)
    url = f"file://{tmp_path}/store"
    store = {"conn_type": "rollback_store", "host": url}
    monkeypatch.setenv("AIRFLOW_CONN_ROLLBACK_STORE_DEFAULT", json.dumps(store))
    try:
        run = run_dag("feature_rollout", {})
    finally:
        place.unlink()
    assert run.xcom("outcome", "outcome") == outcome
    assert (root / "web/version").read_text() == version
    if outcome == "ROLLED_BACK":
        record = load_record(open_store(url), run.xcom("rollback.verify"))
        assert record.execution.status == "verified"
        assert "releases/v1" in record.scripts.application
