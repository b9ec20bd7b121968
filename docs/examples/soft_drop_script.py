"""A migration in SQL whose drops become soft drops."""

# --8<-- [start:migration]
import logging
from pathlib import Path

from airflow.sdk import task

from rollback_provider.hooks.rollback_store import RollbackStoreHook


@task
def migrate(snapshot_id, path):
    from rollback_provider.components.postgres.soft_drop.scripts import run_script

    with RollbackStoreHook().migration(snapshot_id, "orders") as connection:
        report = run_script(connection, Path(path).read_text())
    for statement in report.left:
        logging.getLogger(__name__).warning("No soft drop: %s", statement)


# --8<-- [end:migration]
