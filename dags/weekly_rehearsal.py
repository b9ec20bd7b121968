"""Rehearses the shop's migration every week, so that its rollback is known to work before it is needed.

The snapshot is all that is read of the shop's database. What is rehearsed happens in a database that `rehearsal_db` names: it is made for
the rehearsal and dropped after it. Where all goes well, a certificate says so for two weeks.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from rollback_provider.operators import RollbackSnapshotOperator, RollbackTestOperator

SCRIPTS = Path(__file__).parent / "ecommerce"

with DAG("weekly_rehearsal", schedule="@weekly", catchup=False, tags=["rollback"], doc_md=__doc__):
    snapshot = RollbackSnapshotOperator(
        task_id="snapshot",
        migration="shop-delivery-notes",
        components=[{"kind": "postgres", "name": "shop", "connection": "ecommerce_db"}],
    )
    RollbackTestOperator(
        task_id="rehearse",
        snapshot_id=snapshot.output,
        migration={"sql": [str(SCRIPTS / "migration.sql")], "alter": ["orders", "products", "promotions"]},
        scratch="rehearsal_db",
        drills=["backend_killed", "half_applied", "conflicting_writer"],
        certify=timedelta(weeks=2),
    )
