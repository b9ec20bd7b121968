"""A number and a threshold: fine, a breach, or unknown."""

from __future__ import annotations

from typing import Any

import pytest

from rollback_provider.core.errors import ConfigurationError
from rollback_provider.probes import Condition, Measurement, Verdict, parse_conditions

PROBE = {"kind": "prometheus", "connection": "prometheus", "query": "up"}


def condition(**limits: float) -> Condition:
    """One with these limits."""
    return parse_conditions([{"name": "errors", "probe": PROBE, **limits}])[0]


@pytest.mark.parametrize(
    ("limits", "value", "verdict"),
    [
        ({"above": 5}, 5, Verdict.FINE),
        ({"above": 5}, 5.1, Verdict.BREACH),
        ({"below": 1}, 1, Verdict.FINE),
        ({"below": 1}, 0, Verdict.BREACH),
        ({"below": 200, "above": 299}, 204, Verdict.FINE),
        ({"below": 200, "above": 299}, 503, Verdict.BREACH),
        ({"above": 5}, None, Verdict.UNKNOWN),
        ({"below": 5}, None, Verdict.UNKNOWN),
    ],
)
def test_what_a_measurement_says(limits: dict[str, float], value: float | None, verdict: Verdict) -> None:
    assert condition(**limits).judge(Measurement(value=value, seconds=0)) is verdict


def test_limits_in_words() -> None:
    assert condition(above=5).limits == "at most 5"
    assert condition(below=200, above=299).limits == "at least 200 and at most 299"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "No conditions"),
        ([{"name": "errors", "probe": PROBE}], "Condition errors is malformed.*no threshold"),
        ([{"name": "errors", "probe": PROBE, "above": float("nan")}], "above"),
        ([{"name": "errors", "probe": PROBE, "above": "many"}], "above"),
        ([{"name": "errors", "probe": PROBE, "above": 1, "below": 2}], "every number is a breach"),
        ([{"name": "errors", "above": 1}], "errors is malformed: probe: Field required"),
        ([{"probe": PROBE, "above": 1}], "Condition number 1"),
        (["up > 1"], "Condition number 1"),
        ([{"name": "errors", "probe": PROBE, "above": 1}] * 2, "Two conditions have the name 'errors'"),
    ],
)
def test_a_malformed_condition_is_refused(entries: list[Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_conditions(entries)
