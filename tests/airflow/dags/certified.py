"""A migration of the shop that does not start without a certificate."""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import DAG, task

from rollback_provider.guard import rollback_guard
from rollback_provider.sensors import RollbackCertificateSensor

FILE = Path(__file__).parents[3] / "dags" / "ecommerce" / "migration.sql"
SOURCE = {"sql": [str(FILE)], "alter": ["orders", "products", "promotions"]}
DRILLS = ["backend_killed", "conflicting_writer"]

with DAG("certified", schedule=None):

    @task
    def migrate(snapshot_id: str) -> None:
        """Runs what was rehearsed."""
        from rollback_provider.hooks.rollback_store import RollbackStoreHook

        with RollbackStoreHook().migration(snapshot_id, "shop", alter=SOURCE["alter"]) as connection:
            connection.execute(FILE.read_bytes())

    @task
    def check() -> None:
        """All is well."""

    rollback_guard(
        migration="shop-delivery-notes",
        components=[{"kind": "postgres", "name": "shop", "connection": "ecommerce_db"}],
        migrate=migrate,
        verify=check,
        certificate={"source": SOURCE, "drills": DRILLS},
        task_args={"retries": 0},
    )

with DAG("waits_for_certificate", schedule=None):
    RollbackCertificateSensor(
        task_id="wait", migration="shop-delivery-notes", source=SOURCE, timeout=0, poke_interval=1
    )
