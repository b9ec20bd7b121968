"""A probe with a threshold: what it measures is fine, a breach, or unknown."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from pydantic import Field, ValidationError, model_validator

from rollback_provider.core.base import Model
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.probes.declared import Probe, problems
from rollback_provider.probes.measuring import Measurement


class Verdict(StrEnum):
    """What a measurement says. Unknown (no data, no answer) is never fine."""

    FINE = "fine"
    BREACH = "breach"
    UNKNOWN = "unknown"


class Condition(Model):
    """When a measured number is a breach. Exactly at a threshold it is fine.

    :param name: for people, unique among its siblings: ``errors per second``
    :param above: a larger number is a breach
    :param below: a smaller number is a breach
    """

    name: str = Field(min_length=1, max_length=100)
    probe: Probe
    above: float | None = Field(default=None, allow_inf_nan=False)
    below: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _has_threshold(self) -> Condition:
        if self.above is None and self.below is None:
            raise ValueError("it has no threshold: give above, below, or both")
        if self.above is not None and self.below is not None and self.below > self.above:
            raise ValueError("every number is a breach: below is larger than above")
        return self

    def judge(self, found: Measurement) -> Verdict:
        """What a measurement of the probe says."""
        if found.value is None:
            return Verdict.UNKNOWN
        breach = (self.above is not None and found.value > self.above) or (
            self.below is not None and found.value < self.below
        )
        return Verdict.BREACH if breach else Verdict.FINE

    @property
    def limits(self) -> str:
        """The thresholds in words: ``at most 5``."""
        above, below = self.above, self.below
        return " and ".join(
            ([f"at least {below:g}"] if below is not None else [])
            + ([f"at most {above:g}"] if above is not None else [])
        )


def parse_conditions(entries: Sequence[Any]) -> tuple[Condition, ...]:
    """Conditions from plain data: ``[{"name": "errors", "probe": {"kind": "prometheus", …}, "above": 5}]``.

    Raises ConfigurationError, which names the condition and what is wrong, for none, for a malformed one, and for a name used twice.
    """
    if not entries:
        raise ConfigurationError("No conditions are given", next_step="Name at least one")
    found: dict[str, Condition] = {}
    for place, entry in enumerate(entries, start=1):
        named = entry.get("name") if isinstance(entry, dict) else None
        try:
            condition = Condition.model_validate(entry)
        except ValidationError as error:
            raise ConfigurationError(
                f"Condition {named or f'number {place}'} is malformed: {problems(error)}",
                next_step="Correct its declaration",
            ) from error
        if condition.name in found:
            raise ConfigurationError(f"Two conditions have the name {condition.name!r}")
        found[condition.name] = condition
    return tuple(found.values())
