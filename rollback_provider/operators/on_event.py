"""Plans the rollback that an asset event asks for."""

from __future__ import annotations

from typing import Any

from rollback_provider.core.cause import Cause
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.operators.generate import RollbackGenerateOperator

_ASKED = ("snapshot_id", "migration", "reason")
"""What an event's extra may say."""


class RollbackOnEventOperator(RollbackGenerateOperator):
    """Plans the rollback that an asset event asks for, in a DAG that is scheduled on assets; XCom gets the rollback's id.

    The event's ``extra`` names where to go back to, and why::

        {"migration": "orders-2026-11", "reason": "payments fail since the migration"}

    In place of ``migration``, whose newest snapshot is taken, there may be a ``snapshot_id``. An event with neither or with both fails the
    task, and nothing is changed. Airflow may start one run for several events: those that ask for the same are one, and where they ask
    for different things the task fails, because nothing says which comes first.

    Changes that nothing attributes stop it unless `ambiguous` says otherwise: nobody is there to decide. Its other parameters are those of
    :class:`~rollback_provider.operators.generate.RollbackGenerateOperator`.
    """

    def __init__(self, *, ambiguous: str = "fail", **kwargs: Any) -> None:
        super().__init__(ambiguous=ambiguous, **kwargs)
        self._source = ""

    def run_in(self, context: Any) -> str:
        """Reads the events, and plans; returns the rollback's id."""
        asked = {(said["snapshot_id"], said["migration"]): (name, said) for name, said in _events(context)}
        if len(asked) != 1:
            what = "No event" if not asked else f"{len(asked)} events, which ask for different rollbacks,"
            raise ConfigurationError(
                f"{what} started this run",
                next_step="Start each rollback by hand: trigger the DAG rollback with its migration or snapshot",
            )
        ((name, said),) = asked.values()
        self.snapshot_id, self.migration = said["snapshot_id"], said["migration"]
        self.reason = said["reason"] or f"Asked for by an event of asset {name}"
        self._source = f"asset {name}"
        if bool(self.snapshot_id) == bool(self.migration):
            raise ConfigurationError(
                f"The event of asset {name} names {'both a snapshot and a migration' if self.migration else 'no rollback'}",
                next_step='Let its extra say {"migration": …} or {"snapshot_id": …}; or trigger the DAG rollback by hand',
            )
        return super().run_in(context)

    def cause(self, context: Any) -> Cause | None:
        """The event's reason."""
        cause = super().cause(context)
        return cause.model_copy(update={"source": self._source}) if cause else None


def _events(context: Any) -> list[tuple[str, dict[str, str | None]]]:
    """Name of the asset and what is asked, of each event that started the run, the oldest first."""
    found = [event for events in context["triggering_asset_events"].values() for event in events]
    return [
        (event.asset.name, {key: str((event.extra or {}).get(key) or "") or None for key in _ASKED})
        for event in sorted(found, key=lambda event: event.timestamp)
    ]
