"""Removes old snapshots from the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from rollback_provider.operators.base import RollbackOperator


class RollbackPruneOperator(RollbackOperator):
    """Removes snapshots that no rule keeps, with their checkpoints and rollbacks, and content that nothing refers to any more.

    The rules count for each migration by itself. Pinned snapshots, and those that an unfinished rollback needs, stay whatever they say.

    :param keep_last: so many of the newest
    :param keep_within: all younger than this
    :param keep_daily: the newest of each of so many days
    :param keep_weekly: the newest of each of so many weeks
    :param dry_run: only write to the log what would go
    :param store: id of a ``rollback_store`` connection, or a URL
    """

    template_fields: Sequence[str] = (*RollbackOperator.template_fields, "keep_last", "keep_daily", "keep_weekly")

    def __init__(
        self,
        *,
        keep_last: int | None = None,
        keep_within: timedelta | None = None,
        keep_daily: int | None = None,
        keep_weekly: int | None = None,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.keep_last = keep_last
        self.keep_within = keep_within
        self.keep_daily = keep_daily
        self.keep_weekly = keep_weekly
        self.only_show = dry_run

    def run_in(self, context: Any) -> list[str]:
        """Prunes; returns the ids of the snapshots that went, or would go."""
        from rollback_provider.core.words import plural
        from rollback_provider.report.words import number, size
        from rollback_provider.store import prune

        report = prune(
            self.open_store(),
            keep_last=_number(self.keep_last),
            keep_within=self.keep_within,
            keep_daily=_number(self.keep_daily),
            keep_weekly=_number(self.keep_weekly),
            dry_run=self.only_show,
        )
        for kept in report.kept:
            self.log.info("Kept: %s (%s)", kept.id, "; ".join(kept.reasons))
        verb = "Would remove" if self.only_show else "Removed"
        for snapshot_id in report.snapshots:
            self.log.info("%s: %s", verb, snapshot_id)
        self.log.info(
            "%s %s, %s and %s blobs, %s",
            verb,
            plural(len(report.snapshots), "snapshot"),
            plural(len(report.rollbacks), "rollback"),
            number(report.blobs),
            size(report.bytes),
        )
        return list(report.snapshots)


def _number(value: int | str | None) -> int | None:
    """A count, also where a template has made text of it."""
    return None if value in {None, "", "None"} else int(value or 0)
