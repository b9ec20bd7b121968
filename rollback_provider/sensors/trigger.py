"""Watches what a migration does to running systems, and fails where it has to be taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import BaseSensorOperator

from rollback_provider.core.model import utcnow
from rollback_provider.core.words import plural
from rollback_provider.hooks.cause import push_cause
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.operators.base import final_errors
from rollback_provider.probes import measure_now, parse_conditions, parse_probe
from rollback_provider.probes.watching import Standing, Watch, begin, impact_of
from rollback_provider.triggers.conditions import ConditionsTrigger


class RollbackTriggerSensor(BaseSensorOperator):
    """Watches conditions during a bake window after a migration. A clean window ends it with success; breaches in a row fail it at once.

    In a guard, as its `watch` or `verify`, the failure starts the rollback, and the record of the rollback tells which condition it was,
    with its measurements. It waits in the triggerer and takes no worker's slot; a triggerer that dies is no end of it, and the window
    ends when it would have ended.

    A window is clean when its last measurements are. Where a condition is in doubt at that time, it is measured on until it is not.

    :param conditions: what is watched: ``[{"name": "errors per second", "probe": {"kind": "prometheus", "connection": "prometheus",
        "query": "sum(rate(errors_total[1m]))"}, "above": 5}]``; several are measured at the same time, and one is enough to fail
    :param bake: how long, from when the task begins
    :param interval: time between two measurements
    :param breaches: how many breaches of one condition in a row fail the task
    :param unknown: what a measurement without an answer is (no such series, not a number, a timeout, a refused query): ``breach``,
        because an application that is down looks just so; ``fail after 20`` in a row, for a monitor that has its pauses; ``ignore``, and
        then only a condition that was unknown in the whole window fails
    :param impact: numbers that tell of the damage, measured when the task fails, for the report:
        ``{"requests failed": {"kind": "prometheus", …}}``

    XCom gets the conditions with their last measurements. Raises ConfigurationError when the DAG is parsed, for conditions that are
    malformed.
    """

    template_fields: Sequence[str] = ("conditions", "impact")
    ui_color: str = "#e8eef7"

    def __init__(
        self,
        *,
        conditions: Sequence[Mapping[str, Any]],
        bake: timedelta,
        interval: timedelta = timedelta(seconds=15),
        breaches: int = 3,
        unknown: str = "breach",
        impact: Mapping[str, Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.conditions = conditions
        self.bake = bake
        self.interval = interval
        self.breaches = breaches
        self.unknown = unknown
        self.impact = impact
        self._begin()

    def execute(self, context: Any) -> None:
        """Begins the window."""
        with final_errors():
            watch = self._begin()
        self.log.info(
            "Watching %s until %s", plural(len(watch.watched), "condition"), watch.until.isoformat(timespec="seconds")
        )
        self._wait(watch)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Takes what the trigger has found, and goes on unless the watch is over."""
        watch = Watch.model_validate(event["watch"])
        if watch.standing is Standing.WATCHING:
            self._wait(watch)
        if watch.standing is Standing.BREACHED:
            self._fail(context, watch)
        self.log.info("The window was clean")
        return [each.signal.to_json() for each in watch.watched]

    def _begin(self) -> Watch:
        """A watch that begins now. Raises ConfigurationError."""
        for probe in (self.impact or {}).values():
            parse_probe(probe)
        return begin(
            parse_conditions(self.conditions),
            bake=self.bake,
            interval=self.interval.total_seconds(),
            breaches=self.breaches,
            unknown=self.unknown,
            now=utcnow(),
        )

    def _wait(self, watch: Watch) -> None:
        self.defer(
            trigger=ConditionsTrigger(watch=watch.to_json()),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )

    def _fail(self, context: Any, watch: Watch) -> None:
        probes = {name: parse_probe(probe) for name, probe in (self.impact or {}).items()}
        measured = {name: (probe, measure_now(probe, airflow_connections)) for name, probe in probes.items()}
        cause = watch.cause(context["ti"].task_id, utcnow(), impact_of(measured, utcnow()))
        push_cause(context, cause)
        raise AirflowFailException(f"{cause.what}. The migration has to be taken back.")
