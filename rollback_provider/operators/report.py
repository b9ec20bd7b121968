"""Writes the report files of a rollback."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, conf

from rollback_provider.core.document import Record
from rollback_provider.core.errors import ConfigurationError, RollbackError
from rollback_provider.core.record import load_record
from rollback_provider.operators.base import RollbackOperator


class RollbackReportOperator(RollbackOperator):
    """Writes the report of a rollback, says how it ended, and fails unless it is verified.

    Give it the trigger rule ``all_done``, so that it also tells of a rollback that failed.

    :param rollback_id: the rollback
    :param plan_only: a plan is all that was wanted: succeed with it
    :param report_dir: where the report files go; ``[rollback] report_dir`` of Airflow's configuration where not given
    :param store: id of a ``rollback_store`` connection, or a URL
    """

    template_fields: Sequence[str] = (*RollbackOperator.template_fields, "rollback_id", "plan_only", "report_dir")

    def __init__(
        self, *, rollback_id: str | None, plan_only: bool | str = False, report_dir: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rollback_id = rollback_id
        self.plan_only = plan_only
        self.report_dir = report_dir

    def run_in(self, context: Any) -> str:
        """Writes the report; returns the rollback's id."""
        from rollback_provider.report.facts import outcome

        if not self.rollback_id:
            raise AirflowFailException(
                "No rollback was planned, so there is none to report: see the log of the task that plans it"
            )
        record = load_record(self.open_store(), self.rollback_id)
        report = self.write(record, self.report_dir)
        result = outcome(record)
        text = f"{result.title}. {result.sentence}" + (f" {record.execution.error}" if record.execution.error else "")
        done = record.execution.status == "verified" or str(self.plan_only).lower() == "true"
        if record.abandoned or not done:
            raise AirflowFailException(text)
        self.log.info("%s The report: %s", text, report)
        return record.rollback_id

    def write(self, record: Record, directory: str | None) -> Path | None:
        """Path of the HTML page; None, and a line in the log, where it cannot be written: that must not hide how the rollback ended."""
        try:
            path = write_reports(record, directory)
        except RollbackError as error:
            self.log.warning("%s", error)
            return None
        self.log.info("The report is in %s, with .json and .md beside it", path)
        return path


def write_reports(record: Record, directory: str | None = None) -> Path:
    """Writes ``<rollback id>.html``, ``.json`` and ``.md``, replacing those of an earlier try; returns the HTML page's path.

    :param directory: where to; ``[rollback] report_dir`` of Airflow's configuration where not given

    Raises ConfigurationError where the directory cannot be written.
    """
    from rollback_provider.report.document import to_json
    from rollback_provider.report.html import to_html
    from rollback_provider.report.markdown import to_markdown

    pages = {"html": to_html(record), "json": to_json(record), "md": to_markdown(record)}
    return write_pages(record.rollback_id, pages, directory)


def write_pages(name: str, pages: Mapping[str, str], directory: str | None = None) -> Path:
    """Writes a report's pages, by suffix, replacing those of an earlier try; returns the HTML page's path.

    Raises ConfigurationError where the directory cannot be written.
    """
    folder = Path(directory or conf.get("rollback", "report_dir", fallback="") or _default())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, text in pages.items():
            (folder / f"{name}.{suffix}").write_text(text, "utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"The report cannot be written to {folder}: {error.strerror}",
            state="The record is in the store",
            next_step=f"Correct the report directory; meanwhile: rollbackctl report {name}",
        ) from error
    return folder / f"{name}.html"


def _default() -> Path:
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "rollback_reports"
