"""A number that a probe measures, by SQL, HTTP or Prometheus, and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rollback_provider.core.base import Json
from rollback_provider.core.component import ConnectionResolver
from rollback_provider.core.verification import Area, Check, CheckSpec, CheckStatus
from rollback_provider.probes import Verdict, measure_now, parse_conditions
from rollback_provider.probes.watching import statement

STATUS = {
    Verdict.FINE: CheckStatus.PASSED,
    Verdict.BREACH: CheckStatus.FAILED,
    Verdict.UNKNOWN: CheckStatus.UNKNOWN,
}


class ProbeCheck:
    """A condition, as the sensor that watches a migration takes it: ``{"probe": {…}, "above": 5}``."""

    kind: ClassVar[str] = "probe"
    one_by_one: ClassVar[bool] = False

    def __init__(self, spec: CheckSpec) -> None:
        (self._condition,) = parse_conditions([{**spec.options, "name": spec.name}])
        self.spec = spec.model_copy(update={"connection": self._condition.probe.connection})

    @property
    def statement(self) -> str:
        """What the probe asks."""
        return statement(self._condition.probe)

    def sealed(self) -> CheckSpec:
        """The declaration, which names the probe's connection."""
        return self.spec

    def run(self, connections: ConnectionResolver, baseline: Json | None) -> Sequence[Check]:
        """One check."""
        found = measure_now(self._condition.probe, connections)
        return [
            Check(
                component=self._condition.probe.connection,
                name=self.spec.name,
                status=STATUS[self._condition.judge(found)],
                expected=self._condition.limits,
                actual="" if found.value is None else f"{found.value:g}",
                detail=found.unknown,
                area=Area.FUNCTION,
            )
        ]
