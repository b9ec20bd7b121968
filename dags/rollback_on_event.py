"""Takes a migration back when an event asks for it: one of a monitoring DAG, or of an alert that posts to Airflow's API.

The event's `extra` says what and why: `{"migration": "shop-amounts", "reason": "payments fail"}`. Nobody is asked. It stops before anything
is changed where nothing says which writes are the migration's.
"""

from __future__ import annotations

from airflow.sdk import DAG, Asset

from rollback_provider.operators import RollbackExecuteOperator, RollbackVerifyOperator
from rollback_provider.operators.on_event import RollbackOnEventOperator
from rollback_provider.operators.report import RollbackReportOperator

# --8<-- [start:dag]
with DAG("rollback_on_event", schedule=[Asset("rollback_wanted")], catchup=False, tags=["rollback"], doc_md=__doc__):
    generate = RollbackOnEventOperator(task_id="generate", retries=2)
    execute = RollbackExecuteOperator(task_id="execute", rollback_id=generate.output, retries=2)
    verify = RollbackVerifyOperator(task_id="verify", rollback_id=execute.output, retries=2)
    report = RollbackReportOperator(task_id="report", rollback_id=generate.output, trigger_rule="all_done")
    generate >> execute >> verify >> report
# --8<-- [end:dag]
