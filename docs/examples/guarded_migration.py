"""The DAG of the front page."""

# --8<-- [start:dag]
from airflow.sdk import dag, task

from rollback_provider.guard import rollback_guard
from rollback_provider.hooks.rollback_store import RollbackStoreHook


@dag(schedule=None)
def orders_2026_11():
    @task
    def migrate(snapshot_id):
        with RollbackStoreHook().migration(snapshot_id, "orders", alter=["orders"]) as connection:
            connection.execute("alter table orders rename column note to customer_note")

    @task
    def verify(): ...  # raise unless the migration is good

    orders = {"kind": "postgres", "name": "orders", "connection": "orders_db"}
    rollback_guard(migration="orders-2026-11", components=[orders], migrate=migrate, verify=verify)


orders_2026_11()
# --8<-- [end:dag]
