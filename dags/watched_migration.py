"""Migrates the shop's database and watches its users afterwards; if they get errors, the migration takes itself back."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from rollback_provider.guard import rollback_guard
from rollback_provider.sensors import RollbackTriggerSensor

with DAG("watched_migration", schedule=None, catchup=False, tags=["rollback"], doc_md=__doc__):

    @task(execution_timeout=timedelta(minutes=30))
    def migrate(snapshot_id: str) -> None:
        """Gives a column another name."""
        from rollback_provider.hooks.rollback_store import RollbackStoreHook

        with RollbackStoreHook().migration(snapshot_id, "shop", alter=["orders"]) as connection:
            connection.execute("alter table orders rename column total to amount")

    @task
    def verify_migration() -> None:
        """Fails where an order has no amount."""
        from airflow.providers.postgres.hooks.postgres import PostgresHook

        if PostgresHook("shop_db").get_first("select 1 from orders where amount is null"):
            raise ValueError("There are orders without an amount")

    # --8<-- [start:watch]
    errors = {"kind": "prometheus", "connection": "prometheus", "query": "sum(rate(shop_errors_total[1m]))"}
    checkout = {"kind": "http", "connection": "shop_site", "path": "/checkout", "timeout": 5}
    failed = {"kind": "prometheus", "connection": "prometheus", "query": "sum(increase(shop_errors_total[15m]))"}
    conditions = [
        {"name": "errors per second", "probe": errors, "above": 0.5},
        {"name": "checkout", "probe": checkout, "below": 200, "above": 299},
    ]
    watch = RollbackTriggerSensor(
        task_id="watch", conditions=conditions, bake=timedelta(minutes=15), impact={"requests failed": failed}
    )
    # --8<-- [end:watch]

    # --8<-- [start:guard]
    rollback_guard(
        migration="shop-amounts",
        components=[{"kind": "postgres", "name": "shop", "connection": "shop_db"}],
        migrate=migrate,
        criteria=[
            {"kind": "snapshot", "max_age": "PT10M"},
            {"kind": "quiet", "longest": "PT30S"},
            {"kind": "space"},
            {"kind": "conditions", "conditions": conditions},
        ],
        verify=verify_migration,
        watch=watch,
    )
    # --8<-- [end:guard]
