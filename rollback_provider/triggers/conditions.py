"""Watches conditions in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from rollback_provider.core.model import utcnow
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.probes import measure
from rollback_provider.probes.watching import Standing, Watch, line


class ConditionsTrigger(BaseTrigger):
    """Measures conditions until their watch is over, or stands in another way than before: fires with the watch as it is then.

    Who takes the event defers again until the watch is over. So Airflow holds what the next measurement builds on, and a triggerer that
    is started again, or another one, goes on with it.

    :param watch: a :class:`~rollback_provider.probes.watching.Watch`, as JSON
    """

    def __init__(self, *, watch: dict[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow gives it no types
        self.watch = watch

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As Airflow stores it."""
        return f"{type(self).__module__}.{type(self).__name__}", {"watch": self.watch}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Measures at each interval; what a dead process has missed is not made up for."""
        watch = Watch.model_validate(self.watch)
        known = watch.streaks()
        while watch.standing is Standing.WATCHING and watch.streaks() == known:
            await asyncio.sleep(watch.wait(utcnow()))
            found = await asyncio.gather(
                *(measure(each.condition.probe, airflow_connections) for each in watch.watched)
            )
            watch = watch.after(found, utcnow())
            for fine, text in (line(each, watch) for each in watch.watched):
                (self.log.info if fine else self.log.warning)("%s", text)
        yield TriggerEvent({"watch": watch.to_json()})
