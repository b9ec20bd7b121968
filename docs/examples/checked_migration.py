"""A migration that is verified by declared checks."""

# --8<-- [start:dag]
from airflow.sdk import dag, task

from rollback_provider.guard import rollback_guard
from rollback_provider.hooks.rollback_store import RollbackStoreHook

CHECKS = [
    {
        "kind": "sql",
        "name": "paid orders have a payment",
        "connection": "orders_db",
        "sql": "select id from orders o where state = 'paid' and not exists (select from payments where order_id = o.id)",
    },
    {
        "kind": "expectations",
        "name": "orders are plausible",
        "connection": "orders_db",
        "table": "orders",
        "suite": [
            {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "total"}},
            {"type": "expect_column_values_to_be_between", "kwargs": {"column": "total", "min_value": 0}},
        ],
    },
    {
        "kind": "performance",
        "name": "payments of an order",
        "connection": "orders_db",
        "sql": "select * from payments where order_id = 7",
        "tolerance": 3,
    },
]


@dag(schedule=None)
def checked_orders():
    @task
    def migrate(snapshot_id):
        with RollbackStoreHook().migration(snapshot_id, "orders", alter=["orders"]) as connection:
            connection.execute("alter table orders rename column note to customer_note")

    orders = {"kind": "postgres", "name": "orders", "connection": "orders_db"}
    rollback_guard(migration="orders-2026-11", components=[orders], migrate=migrate, checks=CHECKS)


checked_orders()
# --8<-- [end:dag]
