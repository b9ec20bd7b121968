"""Migrates the shop's database; if the shop's own rules do not hold afterwards, the migration takes itself back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, task

from rollback_provider.guard import rollback_guard

SCRIPTS = Path(__file__).parent / "ecommerce"

with DAG("ecommerce_migration", schedule=None, catchup=False, tags=["rollback"], doc_md=__doc__):

    @task(execution_timeout=timedelta(minutes=30), retries=2, retry_delay=timedelta(seconds=5))
    def migrate(snapshot_id: str) -> None:
        """Runs `migration.sql` in one transaction, and seals in it which writes are its own."""
        from rollback_provider.hooks.rollback_store import RollbackStoreHook

        with RollbackStoreHook().migration(
            snapshot_id, "shop", alter=["orders", "products", "promotions"]
        ) as connection:
            connection.execute((SCRIPTS / "migration.sql").read_bytes())

    @task
    def verify_migration() -> None:
        """Fails where an order has been paid with another amount than it costs."""
        from airflow.providers.postgres.hooks.postgres import PostgresHook

        wrong = PostgresHook("ecommerce_db").get_records((SCRIPTS / "wrongly_paid.sql").read_text("utf-8"))
        if wrong:
            some = "; ".join(f"{number} costs {total}, {paid} was paid" for number, total, paid in wrong[:3])
            raise ValueError(f"{len(wrong):,} orders were paid with another amount than they cost: {some}, …")

    rollback_guard(
        migration="shop-delivery-notes",
        components=[{"kind": "postgres", "name": "shop", "connection": "ecommerce_db"}],
        migrate=migrate,
        verify=verify_migration,
    )
