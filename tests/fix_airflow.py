"""Airflow with a metadata database in SQLite and a home of its own, in this process. Set up before anything imports Airflow."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"samples": ROOT / "dags", "tests": Path(__file__).parent / "airflow" / "dags"}
HOME = Path(tempfile.mkdtemp(prefix="rollback-airflow-"))

os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
        [
            {
                "name": name,
                "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                "kwargs": {"path": str(folder)},
            }
            for name, folder in FOLDERS.items()
        ]
    ),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(HOME / "logs"),
    "AIRFLOW__ROLLBACK__REPORT_DIR": str(HOME / "reports"),
    "APPLICATION_HOME": str(HOME / "application"),
    "SERVICE_HOME": str(HOME / "service"),
    "SHOP_HOME": str(HOME / "machines" / "srv"),
}


def pytest_unconfigure() -> None:
    """Removes the home."""
    shutil.rmtree(HOME, ignore_errors=True)


@dataclass(frozen=True)
class Run:
    """A DAG run, as far as it has got."""

    dag: Any
    dag_run: Any

    @property
    def state(self) -> str:
        """Of the run."""
        return str(self.dag_run.state)

    @property
    def states(self) -> dict[str, str | None]:
        """Of its tasks."""
        return {ti.task_id: None if ti.state is None else str(ti.state) for ti in self.dag_run.get_task_instances()}

    @property
    def tries(self) -> dict[str, int]:
        """How often each of its tasks was tried."""
        return {ti.task_id: ti.try_number for ti in self.dag_run.get_task_instances()}

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        """What a task has pushed."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        with create_session() as session:
            found = session.scalar(
                XComModel.get_many(run_id=self.dag_run.run_id, dag_ids=self.dag.dag_id, task_ids=task_id, key=key)
            )
            return None if found is None else XComModel.deserialize_value(found)

    def clear(self, *task_ids: str, downstream: bool = True, only_failed: bool = False) -> Run:
        """Clears tasks as the UI does, setups and teardowns with them, and runs what is to run again."""
        from airflow.serialization.serialized_objects import DagSerialization

        scheduled = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(self.dag))
        part = scheduled.partial_subset(task_ids=set(task_ids), include_downstream=downstream, include_upstream=False)
        part.clear(
            run_id=self.dag_run.run_id,
            task_ids=list(part.task_dict),
            only_failed=only_failed,
            dag_run_state="running",
        )
        return self.go_on()

    def go_on(self) -> Run:
        """Runs what is to run, without a scheduler, as ``dag.test`` does."""
        from airflow import settings
        from airflow.models.dagrun import DagRun
        from airflow.sdk.definitions.dag import _run_task
        from airflow.serialization.serialized_objects import DagSerialization

        assert settings.Session
        session = settings.Session()
        dag_run = session.get(DagRun, self.dag_run.id)
        dag_run.dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(self.dag))
        while dag_run.state == "running":
            session.expire_all()
            ready, _ = dag_run.update_state(session=session)
            for ti in ready:
                ti.try_number += 1
                ti.state = "scheduled"
            session.commit()
            for ti in ready:
                _run_task(ti=ti, task=self.dag.task_dict[ti.task_id])
        session.expunge_all()
        return Run(self.dag, dag_run)


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """The metadata database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from airflow.utils.db import initdb

        initdb()


@pytest.fixture(scope="session")
def dags(airflow_database: None) -> Callable[[str], Any]:
    """Loads a DAG of the samples or the tests."""
    from airflow.dag_processing.dagbag import DagBag

    bags = [DagBag(folder) for folder in FOLDERS.values()]
    assert {name: error for bag in bags for name, error in bag.import_errors.items()} == {}
    known = {dag_id: dag for bag in bags for dag_id, dag in bag.dags.items()}
    return lambda dag_id: known[dag_id]


@pytest.fixture
def run_dag(dags: Callable[[str], Any]) -> Callable[..., Run]:
    """Runs a DAG to its end with ``dag.test``, in this process; gives `answer` where a task asks a person."""

    def run(dag_id: str, conf: dict[str, Any], answer: str = "") -> Run:
        dag = dags(dag_id)
        with ThreadPoolExecutor() as pool:
            answered = pool.submit(_answer, dag_id, answer) if answer else None
            run = Run(dag, dag.test(run_conf=conf))
            if answered:
                answered.result()
        return run

    return run


@pytest.fixture
def run_on_events(dags: Callable[[str], Any]) -> Callable[..., Run]:
    """Runs a DAG that is scheduled on an asset, once for events of that asset with these extras; without any, as if by hand.

    Events come through the function behind the REST API, and the scheduler makes the run of them. It takes several for one run where the
    DAG was paused when all but the last came.
    """

    def run(dag_id: str, *extras: dict[str, Any]) -> Run:
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
        from airflow.models.dag import DagModel
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session
        from sqlalchemy import select

        dag, folder = dags(dag_id), FOLDERS["samples"]
        DagBundlesManager().sync_bundles_to_db()  # type: ignore[no-untyped-call]  # Airflow gives it no types
        sync_bag_to_db(BundleDagBag(folder, bundle_path=folder, bundle_name="samples"), "samples", None)
        for number, extra in enumerate(extras, 1):
            with create_session() as session:
                model = session.get(DagModel, dag_id)
                assert model
                model.is_paused = number < len(extras)
                session.flush()
                _tell_of_event(dag_id, extra, session)
        if extras:
            _schedule()
        else:
            _start(dag)
        with create_session() as session:
            newest = select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc()).limit(1)
            dag_run = session.scalars(newest).one()
            dag_run.state = "running"  # the scheduler's next round: to SQLite a run of this second is not due yet
            session.flush()
            session.expunge(dag_run)
        return Run(dag, dag_run).go_on()

    return run


def _tell_of_event(dag_id: str, extra: dict[str, Any], session: Any) -> None:
    """What a client of the REST API does, who knows the asset on which the DAG is scheduled."""
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.datamodels.assets import CreateAssetEventsBody
    from airflow.api_fastapi.core_api.routes.public.assets import create_asset_event
    from airflow.models.asset import AssetModel
    from sqlalchemy import select

    asset = session.scalars(select(AssetModel).where(AssetModel.scheduled_dags.any(dag_id=dag_id))).one()
    body = CreateAssetEventsBody(asset_id=asset.id, extra=dict(extra))
    create_asset_event(body, session, SimpleAuthManagerUser(username="ada", role="admin"))


def _schedule() -> None:
    """What the scheduler does in one of its rounds: makes the runs that are due."""
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.utils.session import create_session
    from airflow.utils.sqlalchemy import prohibit_commit

    scheduler = SchedulerJobRunner(Job())  # type: ignore[no-untyped-call]  # Airflow gives it no types
    with create_session() as session, prohibit_commit(session) as guard:  # type: ignore[no-untyped-call]
        scheduler._create_dagruns_for_dags(guard, session)


def _start(dag: Any) -> None:
    """What a person does who triggers it."""
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    now = datetime.now(UTC)
    DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).create_dagrun(
        run_id=f"manual__{now.isoformat()}",
        run_after=now,
        run_type=DagRunType.MANUAL,
        triggered_by=DagRunTriggeredByType.UI,
        state=DagRunState.RUNNING,
    )


def _answer(dag_id: str, option: str) -> None:
    """Answers the question that a run of this DAG asks, through the function behind the REST API. Where that fails, the run is ended."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select, update

    waiting = select(TaskInstance).where(TaskInstance.dag_id == dag_id, TaskInstance.state == "awaiting_input")
    try:
        for _ in range(600):
            with create_session() as session:
                if ti := session.scalar(waiting):
                    _respond(ti, option, session)
                    return
            time.sleep(0.1)
        pytest.fail(f"no task of {dag_id} has asked")
    except BaseException:
        with create_session() as session:
            session.execute(update(DagRun).where(DagRun.dag_id == dag_id).values(state="failed"))
        raise


def _respond(ti: Any, option: str, session: Any) -> None:
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
    from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail

    payload = UpdateHITLDetailPayload(chosen_options=[option], params_input={})
    update_hitl_detail(
        ti.dag_id, ti.run_id, ti.task_id, payload, SimpleAuthManagerUser(username="ada", role="admin"), session
    )
