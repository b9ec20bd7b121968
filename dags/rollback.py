"""Takes a migration back. Started by a person, who sees the plan and everything it would discard before anything is changed.

1. Trigger it with the id of a snapshot, or with the name of a migration for its newest snapshot; or, to undo a rollback that was the
   wrong decision, with the id of that rollback.
2. `generate` plans the way back; its log shows plan and ledger. With *Plan only* the run ends here.
3. `approve` waits under *Required Actions*. Rejecting leaves everything as it is, and the run ends as failed.
4. `execute` and `verify` do it and measure it. The run succeeds only when every check passes; `report` says where the report is.

A rollback that was begun and is not finished is continued: start this DAG again for the same snapshot.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from rollback_provider.operators import RollbackExecuteOperator, RollbackGenerateOperator, RollbackVerifyOperator
from rollback_provider.operators.approval import RollbackApprovalOperator
from rollback_provider.operators.report import RollbackReportOperator

WHERE_TO = "Where to go back to"
POLICY = "Writes made since"
PART = "How much of it"
HOW = "How"

with DAG(
    "rollback",
    schedule=None,
    catchup=False,
    tags=["rollback"],
    doc_md=__doc__,
    params={
        "snapshot_id": Param(
            None,
            type=["null", "string"],
            title="Snapshot",
            description_md="Id of a snapshot, as the log of its `snapshot` task or `rollbackctl list` shows it.",
            section=WHERE_TO,
        ),
        "migration": Param(
            None,
            type=["null", "string"],
            title="Migration",
            description_md="In its place: the name of a migration. Its **newest** snapshot is taken.",
            section=WHERE_TO,
        ),
        "undo": Param(
            None,
            type=["null", "string"],
            title="Undo a rollback",
            description_md="In their place: id of a **rollback**. The state before it comes back, and what was written since stays.",
            section=WHERE_TO,
        ),
        "conflicts": Param(
            "keep",
            enum=["keep", "restore", "fail"],
            values_display={
                "keep": "Keep the application's value",
                "restore": "Go back to the snapshot's value",
                "fail": "Stop before anything is changed",
            },
            title="Conflicts",
            description_md="A value that the migration changed, and **later an application, too**. The ledger lists each one by key.",
            section=POLICY,
        ),
        "ambiguous": Param(
            "restore",
            enum=["restore", "keep", "fail"],
            values_display={
                "restore": "Go back to the snapshot's state, and list each change by key",
                "keep": "Keep all of them",
                "fail": "Stop before anything is changed",
            },
            title="Changes that nobody can attribute",
            description_md="Only where the migration ended **without a checkpoint**: each change since the snapshot may be the "
            "migration's or an application's.",
            section=POLICY,
        ),
        "only": Param(
            [],
            type="array",
            items={"type": "string"},
            title="Only these",
            description_md="Components, or what they hold (`schema.table`), one a line. **Empty: everything.**",
            section=PART,
        ),
        "leave_behind": Param(
            default=False,
            type="boolean",
            title="Leave others behind",
            description_md="Components that were migrated after a chosen one, and may rely on it, may **stay as they are**. "
            "Otherwise such a choice is refused.",
            section=PART,
        ),
        "plan_only": Param(
            default=False,
            type="boolean",
            title="Plan only",
            description_md="Plan, show and report. **Nothing is changed**, and nobody is asked.",
            section=HOW,
        ),
        "store": Param(
            "rollback_store_default",
            type="string",
            title="Snapshot store",
            description_md="Id of a connection of type *Rollback snapshot store*, or the URL of a store.",
            section=HOW,
        ),
    },
):
    store = "{{ params.store }}"

    generate = RollbackGenerateOperator(
        task_id="generate",
        snapshot_id="{{ params.snapshot_id or '' }}",
        migration="{{ params.migration or '' }}",
        undo="{{ params.undo or '' }}",
        conflicts="{{ params.conflicts }}",
        ambiguous="{{ params.ambiguous }}",
        only="{{ params.only | tojson }}",
        leave_behind="{{ params.leave_behind }}",
        store=store,
    )

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def more_than_a_plan(params: dict[str, object] | None = None) -> bool:
        """Ends the run here where a plan is all that was asked for."""
        return not (params or {})["plan_only"]

    approve = RollbackApprovalOperator(task_id="approve", rollback_id=generate.output, store=store)
    execute = RollbackExecuteOperator(
        task_id="execute",
        rollback_id=generate.output,
        approved_by="{{ ti.xcom_pull(task_ids='approve', key='approved_by') or '' }}",
        store=store,
        retries=2,
    )
    verify = RollbackVerifyOperator(task_id="verify", rollback_id=execute.output, store=store, retries=2)
    report = RollbackReportOperator(
        task_id="report",
        rollback_id=generate.output,
        plan_only="{{ params.plan_only }}",
        store=store,
        trigger_rule="all_done",
    )

    generate >> more_than_a_plan() >> approve >> execute >> verify >> report
