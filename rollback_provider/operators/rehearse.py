"""Rehearses a migration and its rollback on a copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

from airflow.providers.common.compat.sdk import AirflowFailException

from rollback_provider.core.model import Policy
from rollback_provider.core.rehearsal.certificate import issue
from rollback_provider.core.rehearsal.model import Rehearsal, Size
from rollback_provider.core.rehearsal.signature import refuse_unfit
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.hooks.identity import task_actor
from rollback_provider.operators.base import RollbackOperator
from rollback_provider.operators.report import write_pages
from rollback_provider.rehearsal import run_rehearsal


class RollbackTestOperator(RollbackOperator):
    """Rehearses a migration and its rollback on copies of a snapshot, with a writer beside it; XCom gets the rehearsal's id.

    The database that the snapshot was taken of is not reached. Writes a report, and fails where a trial did: a difference that stayed, a
    write that was lost.

    :param snapshot_id: the snapshot; take a new one right before
    :param migration: the migration's own text: ``{"sql": ["migration.sql"], "alter": ["orders"]}``, ``{"function": "module:function"}`` or
        ``{"alembic": "alembic.ini", "quiet": True}``; see :class:`~rollback_provider.core.rehearsal.model.Migration`
    :param scratch: id of a connection to a server for the copies, which names the database that is made and dropped; where not given, a
        server is started on the worker (extra ``rehearsal``)
    :param size: ``full``, ``sampled`` or ``schema``
    :param rows: of each table, where it is sampled
    :param component: which of the snapshot's; not needed where only one can be rehearsed
    :param drills: faults to inject, by name, each in a trial of its own
    :param runs: how often it runs undisturbed, for the figures
    :param shares: with the size ``sampled``: shares of each table's rows, such as ``(0.1, 0.5)``. It runs on copies of these sizes, too,
        for an estimate of the time that all rows take
    :param conflicts: as for the rollback itself
    :param fill: likewise
    :param certify: for how long a certificate is valid, which is issued where all went well; none where not given
    :param key: id of a connection that holds the key to sign the certificate with
    :param report_dir: where the report goes; ``[rollback] report_dir`` of Airflow's configuration where not given
    :param store: id of a ``rollback_store`` connection, or a URL
    """

    template_fields: Sequence[str] = (*RollbackOperator.template_fields, "snapshot_id", "migration", "scratch", "key")

    def __init__(
        self,
        *,
        snapshot_id: str,
        migration: Mapping[str, Any],
        scratch: str | None = None,
        size: Size = "full",
        rows: int = 1000,
        component: str | None = None,
        drills: Sequence[str] = (),
        runs: int = 1,
        shares: Sequence[float] = (),
        conflicts: str = "keep",
        fill: Mapping[str, str] | None = None,
        certify: timedelta | None = None,
        key: str | None = None,
        report_dir: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot_id = snapshot_id
        self.migration = migration
        self.scratch = scratch
        self.size = size
        self.rows = rows
        self.component = component
        self.drills = drills
        self.runs = runs
        self.shares = shares
        self.conflicts = conflicts
        self.fill = fill
        self.certify = certify
        self.key = key
        self.report_dir = report_dir

    def run_in(self, context: Any) -> str:
        """Rehearses; returns the rehearsal's id."""
        from rollback_provider.report.rehearsal import sentence, trial_story, trial_title

        store, actor = self.open_store(), task_actor(context)
        key = airflow_connections(self.key) if self.key else None
        refuse_unfit(key)
        rehearsal = run_rehearsal(
            store,
            self.snapshot_id,
            dict(self.migration),
            self.progress,
            actor=actor,
            scratch=airflow_connections(self.scratch) if self.scratch else None,
            size=self.size,
            rows=self.rows,
            component=self.component,
            drills=self.drills,
            runs=self.runs,
            shares=self.shares,
            policy=Policy.model_validate({"conflicts": self.conflicts, "fill": dict(self.fill or {})}),
            watch=self.watch,
        )
        for trial in rehearsal.trials:
            self.log.info("%s: %s, %s", trial_title(trial), trial.status, trial_story(trial))
        for line in rehearsal.uncovered:
            self.log.info("Not covered: %s", line)
        page = self._write(rehearsal)
        if not rehearsal.proven:
            raise AirflowFailException(f"{sentence(rehearsal)} The report: {page}")
        if self.certify:
            certificate = issue(store, rehearsal, self.certify, actor=actor, key=key)
            self.log.info("Certificate %s is valid until %s", certificate.id, certificate.expires)
            cast(Any, context)["ti"].xcom_push(key="certificate_id", value=certificate.id)
        self.log.info("%s The report: %s", sentence(rehearsal), page)
        return rehearsal.id

    def _write(self, rehearsal: Rehearsal) -> object:
        from rollback_provider.report.rehearsal import rehearsal_to_html, rehearsal_to_markdown

        pages = {"html": rehearsal_to_html(rehearsal), "md": rehearsal_to_markdown(rehearsal)}
        return write_pages(rehearsal.id, pages, self.report_dir)
