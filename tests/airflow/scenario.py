"""What the test DAGs migrate, and how it goes wrong."""

from __future__ import annotations

from logging import getLogger
from typing import Any, ClassVar

from rollback_provider.components.memory import MemoryComponent, State, read_system, write_row, write_system
from rollback_provider.core.capturer import seal_checkpoint
from rollback_provider.core.component import Blobs, Notes, Progress
from rollback_provider.core.errors import StepFailedError
from rollback_provider.core.model import Attribution, Step, StepOutcome
from rollback_provider.core.repository import Repository
from rollback_provider.hooks.progress import LogProgress
from rollback_provider.hooks.rollback_store import RollbackStoreHook

BEFORE: State = {
    "orders": {"1": {"total": "10"}, "2": {"total": "20"}},
    "promotions": {"x": {"percent": "5"}},
}


def migrate_shop(params: dict[str, Any], snapshot_id: str, trouble: str) -> None:
    """Makes order 1 cost nothing and removes the promotions.

    :param trouble: ``half``: dies in between; ``marked``: a person marks the run failed in between; ``exact``: the migration seals its
        own checkpoint; ``write``: an application writes in between
    """
    system = params["system"]
    state = read_system(system)
    state["orders"]["1"]["total"] = "0"
    write_system(system, state)
    if trouble == "marked":
        mark_run_failed()
    if trouble in {"half", "marked"}:
        message = "died in the middle"
        raise RuntimeError(message)
    del state["promotions"]
    write_system(system, state)
    if trouble == "exact":
        store = RollbackStoreHook(params["store"]).get_conn()
        snapshot = Repository(store).snapshot(snapshot_id)
        component = MemoryComponent(snapshot.components[0].spec, lambda _: NotImplemented)
        after = component.checkpoint(snapshot.components[0], store, LogProgress(getLogger(__name__)))
        seal_checkpoint(store, snapshot, (after,), Attribution.TRANSACTION, actor="migrate")
    if trouble in {"exact", "write"}:
        write_row(system, "orders", "3", {"total": "30"})


def mark_run_failed() -> None:
    """Does what the button *Mark as failed* does."""
    from airflow.api.common.mark_tasks import set_dag_run_state_to_failed
    from airflow.models.dagrun import DagRun
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.state == "running")).one()
        dag = SerializedDagModel.get_dag(run.dag_id, session=session)
        assert dag
        set_dag_run_state_to_failed(dag=dag, run_id=run.run_id, commit=True, session=session)


class FragileComponent(MemoryComponent):
    """Fails at the second step, as often as `failures` says."""

    kind: ClassVar[str] = "fragile"
    failures: ClassVar[int] = 0

    def apply(self, step: Step, blobs: Blobs, notes: Notes, progress: Progress) -> StepOutcome:
        """Applies, or fails."""
        if FragileComponent.failures and step.id.endswith("002"):
            FragileComponent.failures -= 1
            raise StepFailedError("The backend was killed", component=self.spec.name)
        return super().apply(step, blobs, notes, progress)


def costs_something(system: str) -> bool:
    """A check: whether order 1 has a price."""
    return read_system(system)["orders"]["1"]["total"] != "0"
