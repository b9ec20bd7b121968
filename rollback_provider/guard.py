"""Wraps a migration in a DAG so that it takes itself back when it fails, with a run state that says what happened."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from airflow.sdk import BaseOperator, TaskGroup, XComArg, chain
from airflow.sdk.definitions.mappedoperator import MappedOperator

from rollback_provider.core.checks import parse_checks
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.registry import parse_specs
from rollback_provider.core.schedule import rollback_needs
from rollback_provider.hooks.rollback_store import DEFAULT_STORE
from rollback_provider.operators.certificate import RollbackCertificateOperator
from rollback_provider.operators.check import RollbackCheckOperator
from rollback_provider.operators.guarded import (
    GuardedBeginOperator,
    GuardedCheckpointOperator,
    GuardedExecuteOperator,
    GuardedGenerateOperator,
    GuardedOutcomeOperator,
    GuardedSnapshotOperator,
    GuardedVerifyOperator,
    refuse_used_snapshot,
)
from rollback_provider.operators.work import Work


@dataclass(frozen=True)
class Guard:
    """The tasks around a migration, to hang others before or after them.

    :param go_no_go: decides whether the migration begins, if criteria were given
    :param migrate: the user's task or task group that migrates
    :param verify: the task or task group that verifies the migration
    :param watch: the one that watches what it does to running systems, if there is one
    """

    snapshot: BaseOperator
    go_no_go: BaseOperator | None
    migrate: Any
    checkpoint: BaseOperator
    verify: Any
    watch: Any | None
    outcome: BaseOperator


def rollback_guard(
    *,
    migration: str,
    components: Sequence[Mapping[str, Any]],
    migrate: Any,
    verify: Any = None,
    watch: Any | None = None,
    criteria: Sequence[Mapping[str, Any]] | None = None,
    checks: Sequence[Mapping[str, Any]] = (),
    store: str = DEFAULT_STORE,
    quiet: bool = False,
    track: bool = False,
    whole: Sequence[str] = (),
    conflicts: str = "keep",
    ambiguous: str = "fail",
    fill: Mapping[str, str] | None = None,
    certificate: Mapping[str, Any] | None = None,
    report_dir: str | None = None,
    task_args: Mapping[str, Any] | None = None,
) -> Guard:
    """Puts a migration between a snapshot and a rollback that runs by itself if the migration fails. Call it inside a DAG.

    ::

        snapshot >> migrate >> checkpoint >> verify_migration >> watch >> rollback.generate >> rollback.execute >> rollback.verify
            >> outcome

    With several components ``rollback.execute`` is a group: ``begin``, and a task for each component, in the reverse of their order, side
    by side where they do not depend on each other. Each can be cleared and retried by itself.

    The rollback tasks are teardowns of the snapshot. They run when `migrate`, `verify` or `watch` fails, is killed, or when a person marks
    the run in the middle; they skip themselves when the migration verified. The run succeeds only with the outcome MIGRATED. Otherwise it
    fails, and ``outcome`` says in its log and in XCom (key ``outcome``) whether it is ROLLED_BACK, ROLLBACK_FAILED or NOT_STARTED.

    :param migration: the migration's name, chosen by you
    :param components: what is migrated, one mapping for each system: ``{"kind": "postgres", "name": "orders", "connection": "orders_db"}``
    :param migrate: what migrates: a ``@task`` function (gets the id ``migrate``), an operator or a task group. A function with a
        parameter ``snapshot_id`` is given it; ``RollbackStoreHook().migration(snapshot_id, "orders")`` then makes attribution exact.
    :param verify: what fails unless the migration is good; like `migrate`, with the id ``verify_migration``. Where not given, checks do
    :param checks: what must hold after the migration, and after its rollback: ``{"kind": "sql", "name": …, "connection": …, "sql": …}``.
        Without `verify` they decide alone; beside it both do
    :param watch: what watches running systems afterwards and fails where the migration has to be taken back: a
        :class:`~rollback_provider.sensors.trigger.RollbackTriggerSensor`, or like `verify`, with the id ``watch``
    :param criteria: what has to be true before the migration begins, decided by a task ``go_no_go`` between snapshot and migration:
        ``[{"kind": "snapshot"}, {"kind": "quiet"}, {"kind": "person"}]``
    :param store: id of a ``rollback_store`` connection, or a URL
    :param quiet: you vouch that nobody but the migration writes between snapshot and checkpoint. Without it, and without an exact
        checkpoint sealed by the migrate task, no change can be attributed, and `ambiguous` decides.
    :param track: the migration commits as it goes, in sessions of its own, while applications write: triggers log what these sessions
        write, from the snapshot until the checkpoint. They are known by a setting, which the migrate task gives to its tool:
        ``PGOPTIONS="-c rollback.snapshot=<snapshot_id>"``. Where that is impossible, the snapshot task fails, and nothing is migrated.
    :param whole: tables that a tracked migration drops, or columns of which: writes of all sessions to them are logged
    :param conflicts: what the rollback does with a value that both the migration and an application changed: ``keep`` the application's,
        ``restore``, ``fail``
    :param ambiguous: what it does with changes that nothing attributes: ``fail`` (nobody is there to decide), ``restore``, ``keep``
    :param fill: ``{"schema.table.column": "SQL expression"}`` for rows written since, which have no value for a restored column
    :param certificate: the migration does not start without a valid certificate of a rehearsal, of this database and its schema as
        they are now. What else it must say, of which all may be left out: ``{"source": {"sql": ["migration.sql"]}, "drills":
        ["backend_killed"], "key": "rehearsal_key"}``; see :class:`~rollback_provider.operators.certificate.RollbackCertificateOperator`
    :param report_dir: where the report files go; ``[rollback] report_dir`` of Airflow's configuration where not given
    :param task_args: arguments for the guard's own tasks: ``{"retries": 5, "pool": "migrations"}``. The rollback tasks have two retries
        and no ``execution_timeout`` unless it says otherwise.

    Raises ConfigurationError for a DAG with ``dagrun_timeout``, which would skip the rollback, for a `migrate` or `verify` that is
    no task, where there is neither `verify` nor a check of the migration, for a check that is malformed, and for `quiet` together
    with `track`.
    """
    if quiet and track:
        raise ConfigurationError(
            "`quiet` says that nobody else writes, `track` that they do",
            state="The DAG was not loaded",
            next_step="Leave one of them off",
        )
    declared = parse_checks(checks)
    checked = any(check.when != "rollback" for check in declared)
    if verify is None and not checked:
        raise ConfigurationError(
            f"Nothing verifies migration {migration!r}",
            state="The DAG was not loaded",
            next_step="Give `checks`, or a task as `verify`",
        )
    own = dict(task_args or {})
    work = Work()
    snapshot = GuardedSnapshotOperator(
        task_id="snapshot",
        migration=migration,
        components=[dict(each) for each in components],
        checks=[check.model_dump(mode="json") for check in declared],
        store=store,
        work=work,
        track=track,
        whole=whole,
        **own,
    )
    snapshot.is_setup = True
    _refuse_run_timeout(snapshot)
    before = snapshot.output
    migrating = _node(migrate, "migrate", "migrate", before)
    for task in _tasks(migrating):
        _before_each_try(task, partial(refuse_used_snapshot, snapshot))
    checkpoint = GuardedCheckpointOperator(task_id="checkpoint", snapshot_id=before, quiet=quiet, store=store, **own)
    verifying = _verify(verify, before, store, own, checked=checked)
    watching = _node(watch, "watch", "watch", before) if watch is not None else None
    proving = [verifying] if watching is None else [verifying, watching]
    work.watch(
        migrate=[task.task_id for task in _tasks(migrating)],
        required=[*_leaf_ids(migrating), checkpoint.task_id, *(name for each in proving for name in _leaf_ids(each))],
    )
    # A retry resumes; a limit in the DAG's default_args is meant for the migration, and would cut the rollback in half.
    patient: dict[str, Any] = {
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": None,
        "store": store,
    } | own
    with TaskGroup("rollback"):
        generate = GuardedGenerateOperator(
            task_id="generate",
            snapshot_id=before,
            conflicts=conflicts,
            ambiguous=ambiguous,
            fill=fill,
            work=work,
            quiet=quiet,
            **patient,
        ).as_teardown(setups=snapshot)
        executed = _execute(snapshot, generate, components, patient)
        verified = GuardedVerifyOperator(task_id="verify", rollback_id=generate.output, **patient).as_teardown(
            setups=snapshot
        )
    outcome = GuardedOutcomeOperator(
        task_id="outcome", rollback_id=generate.output, report_dir=report_dir, work=work, **patient
    ).as_teardown(setups=snapshot, on_failure_fail_dagrun=True)
    certified = _certificate(certificate, migration, before, {"store": store} | own)
    deciding = _go_no_go(before, criteria, {"store": store} | own)
    line = (snapshot, certified, deciding, migrating, checkpoint, *proving, generate)
    chain(*(each for each in line if each is not None))
    executed >> verified >> outcome
    return Guard(snapshot, deciding, migrating, checkpoint, verifying, watching, outcome)


def _certificate(
    demanded: Mapping[str, Any] | None, migration: str, snapshot_id: Any, arguments: Mapping[str, Any]
) -> Any:
    if demanded is None:
        return None
    return RollbackCertificateOperator(
        task_id="certificate", migration=migration, snapshot_id=snapshot_id, **demanded, **arguments
    )


def _go_no_go(snapshot_id: Any, criteria: Sequence[Mapping[str, Any]] | None, arguments: Mapping[str, Any]) -> Any:
    if criteria is None:
        return None
    from rollback_provider.operators.go_no_go import RollbackGoNoGoOperator

    return RollbackGoNoGoOperator(task_id="go_no_go", snapshot_id=snapshot_id, criteria=criteria, **arguments)


def _verify(verify: Any, snapshot_id: Any, store: str, arguments: Mapping[str, Any], *, checked: bool) -> Any:
    """What verifies the migration: the declared checks, the user's own task, or the one before the other, in a group."""
    if not checked:
        return _node(verify, "verify", "verify_migration", snapshot_id)
    if verify is None:
        return RollbackCheckOperator(task_id="verify_migration", snapshot_id=snapshot_id, store=store, **arguments)
    with TaskGroup("verify_migration") as group:
        checking = RollbackCheckOperator(task_id="checks", snapshot_id=snapshot_id, store=store, **arguments)
        checking >> _node(verify, "verify", "verify", snapshot_id)
    return group


def _execute(
    snapshot: BaseOperator, generate: Any, components: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any]
) -> list[BaseOperator]:
    """The task that executes, or a group of them, behind `generate`; gives the last ones.

    They are wired one by one, because a group leaves its teardowns out when it is wired as a whole.
    """

    def execute(task_id: str, component: str | None = None) -> Any:
        task = GuardedExecuteOperator(task_id=task_id, component=component, rollback_id=generate.output, **arguments)
        return task.as_teardown(setups=snapshot)

    if len(components) == 1:
        alone = execute("execute")
        generate >> alone
        return [alone]
    specs = parse_specs(components)
    needs = rollback_needs(specs, [spec.name for spec in specs])
    with TaskGroup("execute"):
        begin = GuardedBeginOperator(task_id="begin", rollback_id=generate.output, **arguments)
        begin.as_teardown(setups=snapshot)
        generate >> begin
        tasks = {name: execute(name, name) for name in needs}
        for name, needed in needs.items():
            tasks[name].set_upstream([tasks[each] for each in needed] or [begin])
    return [task for name, task in tasks.items() if not any(name in needed for needed in needs.values())]


def _refuse_run_timeout(task: BaseOperator) -> None:
    if task.dag.dagrun_timeout is not None:
        raise ConfigurationError(
            f"DAG {task.dag_id} has a dagrun_timeout: when it strikes, Airflow skips the rollback",
            state="The DAG was not loaded",
            next_step="Take it off the DAG, and give the migrate task an execution_timeout instead",
        )


def _node(work: Any, name: str, task_id: str, snapshot_id: Any) -> Any:
    """The operator or task group that `work` stands for; a decorated function is called here, and given what it asks for."""
    if getattr(work, "_airflow_is_task_decorator", False):
        wanted = inspect.signature(work.function).parameters
        given = {"snapshot_id": snapshot_id} if "snapshot_id" in wanted else {}
        return work.override(task_id=task_id)(**given).operator
    if isinstance(work, XComArg):
        return next(operator for operator, _ in work.iter_references())
    if isinstance(work, TaskGroup) or hasattr(work, "task_id"):
        return work
    raise ConfigurationError(
        f"`{name}` is no task but {type(work).__name__}",
        state="The DAG was not loaded",
        next_step="Pass a function decorated with @task, an operator, or a TaskGroup",
    )


def _before_each_try(task: Any, check: Callable[[Any], None]) -> None:
    """Has Airflow run `check` before the task, and before what its author wanted to run there."""
    wanted = task.partial_kwargs.get("pre_execute") if isinstance(task, MappedOperator) else task._pre_execute_hook  # noqa: SLF001

    def run(context: Any) -> None:
        check(context)
        if wanted:
            wanted(context)

    if isinstance(task, MappedOperator):
        task.partial_kwargs["pre_execute"] = run
    else:
        task._pre_execute_hook = run  # noqa: SLF001  Airflow takes it only when the task is made, and this one was made elsewhere


def _tasks(node: Any) -> Collection[Any]:
    return list(node.iter_tasks()) if isinstance(node, TaskGroup) else [node]


def _leaf_ids(node: Any) -> Collection[str]:
    return [task.task_id for task in node.get_leaves()] if isinstance(node, TaskGroup) else [node.task_id]
