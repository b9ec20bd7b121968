"""Waits in the triggerer for a server's sessions to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from rollback_provider.core.component import Drainable
from rollback_provider.core.errors import ConfigurationError, RollbackError
from rollback_provider.core.model import utcnow
from rollback_provider.core.registry import build, parse_specs
from rollback_provider.hooks.connections import airflow_connections


def sessions_left(component: dict[str, Any], server: str) -> int:
    """How many sessions a server still has. Raises ConfigurationError where the kind cannot tell, and the errors of the component."""
    (spec,) = parse_specs([component])
    built = build(spec, airflow_connections)
    try:
        if not isinstance(built, Drainable):
            raise ConfigurationError(f"Kind {spec.kind!r} has no sessions to wait for", component=spec.name)
        return built.sessions(server)
    finally:
        built.close()


class TrafficDrainedTrigger(BaseTrigger):
    """Fires with ``{"left": number}`` once a server has no sessions left or the limit has passed, and with ``{"error": text}``.

    :param component: one mapping, as in ``spec.yaml``
    :param server: as the kind names it: ``shop/s1``
    :param until: when waiting ends in any case, as ISO 8601 with a time zone; None for never
    :param interval: seconds between two looks
    """

    def __init__(self, *, component: dict[str, Any], server: str, until: str | None, interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow gives it no types
        self.component = component
        self.server = server
        self.until = until
        self.interval = interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As Airflow stores it."""
        fields = ("component", "server", "until", "interval")
        return f"{type(self).__module__}.{type(self).__name__}", {name: getattr(self, name) for name in fields}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Looks until there is nothing to wait for."""
        until = datetime.fromisoformat(self.until) if self.until else None
        look = sync_to_async(sessions_left, thread_sensitive=False)
        while True:
            try:
                left = await look(self.component, self.server)
            except RollbackError as error:
                yield TriggerEvent({"error": str(error)})
                return
            if not left or (until and utcnow() >= until):
                yield TriggerEvent({"left": left})
                return
            self.log.info("%s: %s sessions left", self.server, left)
            await asyncio.sleep(self.interval)
