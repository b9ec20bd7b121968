"""A migration that soft-drops."""

# --8<-- [start:migration]
from airflow.sdk import task

from rollback_provider.hooks.rollback_store import RollbackStoreHook


@task
def migrate(snapshot_id):
    from rollback_provider.components.postgres.soft_drop import soft_drop_column, soft_drop_table

    with RollbackStoreHook().migration(snapshot_id, "orders") as connection:
        soft_drop_column(connection, "orders", "legacy_code")
        soft_drop_table(connection, "promotions")


# --8<-- [end:migration]
