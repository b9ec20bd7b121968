"""Waits for a server's sessions to end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, conf
from airflow.sdk import BaseSensorOperator, PokeReturnValue

from rollback_provider.core.model import utcnow
from rollback_provider.operators.base import final_errors
from rollback_provider.triggers.drained import TrafficDrainedTrigger, sessions_left


class TrafficDrainedSensor(BaseSensorOperator):
    """Waits until a server has no sessions left, or a limit passes; XCom gets the number of sessions that are left.

    It only looks: put the server to drain first, or new sessions come all the time.

    :param component: one mapping, as in ``spec.yaml``: ``{"kind": "haproxy", "name": "edge", "connection": "edge_haproxy", "backends":
        ["shop"]}``
    :param server: as the kind names it: ``shop/s1``
    :param limit: after this time the task succeeds, whatever is left; without it, the sensor's ``timeout`` fails the task
    :param deferrable: wait in the triggerer; Airflow's ``operators.default_deferrable`` where it is not given
    """

    template_fields: Sequence[str] = ("component", "server")

    def __init__(
        self,
        *,
        component: dict[str, Any],
        server: str,
        limit: timedelta | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.component = component
        self.server = server
        self.limit = limit
        self.deferrable = deferrable

    def execute(self, context: Any) -> Any:
        """Looks once in the worker, so that what is drained already needs no triggerer."""
        if not self.deferrable:
            return super().execute(context)
        if found := self.poke(context):
            return found.xcom_value
        until = self._until(context)
        trigger = TrafficDrainedTrigger(
            component=self.component,
            server=self.server,
            until=until.isoformat() if until else None,
            interval=self.poke_interval,
        )
        return self.defer(trigger=trigger, method_name="execute_complete", timeout=timedelta(seconds=self.timeout))

    def poke(self, context: Any) -> PokeReturnValue:
        """Looks once."""
        with final_errors():
            left = sessions_left(self.component, self.server)
        until = self._until(context)
        over = until is not None and utcnow() >= until
        self.log.info(
            "%s: %s sessions left%s", self.server, left, ", and the limit has passed" if left and over else ""
        )
        return PokeReturnValue(is_done=not left or over, xcom_value=left)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> int:
        """Takes what the trigger has found."""
        if "error" in event:
            raise AirflowException(event["error"])
        self.log.info("%s: %s sessions left", self.server, event["left"])
        return int(event["left"])

    def _until(self, context: Any) -> datetime | None:
        """When waiting ends in any case, however often the task was rescheduled."""
        if self.limit is None:
            return None
        ti = context["ti"]
        begun: datetime = (ti.get_first_reschedule_date(context) if self.reschedule else None) or ti.start_date
        return begun + self.limit
