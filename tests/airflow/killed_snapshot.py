"""The worker of a guarded snapshot task, which is killed when it has done everything but tell Airflow.

Its arguments are the DAG run and the store.
"""

from __future__ import annotations

import os
import sys
from signal import SIGKILL
from types import SimpleNamespace

from rollback_provider.operators.guarded import GuardedSnapshotOperator
from rollback_provider.operators.work import Work

if __name__ == "__main__":
    run_id, store = sys.argv[1:]
    work = Work()
    work.watch(migrate=("tool",), required=("tool",))
    ti = SimpleNamespace(
        dag_id="tracked",
        run_id=run_id,
        task_id="snapshot",
        map_index=-1,
        try_number=1,
        get_task_states=lambda **_: {run_id: {"tool": None}},
    )
    components = [{"kind": "postgres", "name": "orders", "connection": "orders_db"}]
    task = GuardedSnapshotOperator(
        task_id="snapshot", work=work, track=True, whole=(), migration="orders", components=components, store=store
    )
    task.run_in({"ti": ti})
    os.kill(os.getpid(), SIGKILL)
