"""A watch over a window: breaches in a row end it, a clean window ends it, and what is unknown is handled as was stated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rollback_provider.core.errors import ConfigurationError
from rollback_provider.probes import Measurement, parse_conditions
from rollback_provider.probes.watching import KEPT, Standing, Watch, begin, line

BEGAN = datetime(2026, 11, 25, 12, tzinfo=UTC)
CONDITIONS = parse_conditions(
    [
        {"name": "errors", "probe": {"kind": "prometheus", "connection": "p", "query": "errors"}, "above": 5},
        {"name": "health", "probe": {"kind": "http", "connection": "h", "path": "/health?key=x"}, "above": 299},
    ]
)


def a_watch(unknown: str = "breach", breaches: int = 3, minutes: float = 2) -> Watch:
    """One that measures every ten seconds."""
    return begin(
        CONDITIONS,
        bake=timedelta(minutes=minutes),
        interval=10,
        breaches=breaches,
        unknown=unknown,
        now=BEGAN,
    )


def found(value: float | None) -> Measurement:
    """What a probe has measured; None for no answer."""
    return Measurement(value=value, unknown="" if value is not None else "no answer within 10 s", seconds=0.1)


def play(watch: Watch, errors: str, *, health: str = "") -> list[Standing]:
    """How the watch stands after each measurement: ``.`` fine, ``x`` a breach, ``?`` unknown. Each time the state passes through JSON."""
    values = {".": 0.0, "x": 1000.0, "?": None}
    stands, now = [], BEGAN
    for number, mark in enumerate(errors):
        now += timedelta(seconds=watch.wait(now))
        pair = [found(values[mark]), found(values[health[number] if health else "."])]
        watch = Watch.model_validate_json(watch.model_dump_json(by_alias=True)).after(pair, now)
        stands.append(watch.standing)
        if watch.standing is not Standing.WATCHING:
            break
    return stands


WHOLE = 13
"""Measurements of a window of two minutes."""


@pytest.mark.parametrize(
    ("unknown", "errors", "ends", "after"),
    [
        ("breach", "." * 99, Standing.CLEAN, WHOLE),
        ("breach", "xx.xx.xx.....", Standing.CLEAN, WHOLE),
        ("breach", "xxx", Standing.BREACHED, 3),
        ("breach", "xx.xxx", Standing.BREACHED, 6),
        ("breach", "x?x", Standing.BREACHED, 3),
        ("breach", "???", Standing.BREACHED, 3),
        ("breach", "...........xxx", Standing.BREACHED, WHOLE + 1),
        ("breach", "...........xx.", Standing.CLEAN, WHOLE + 1),
        ("ignore", "??????.??????", Standing.CLEAN, WHOLE),
        ("ignore", "?????????????", Standing.BREACHED, WHOLE),
        ("ignore", "x?x?x", Standing.BREACHED, 5),
        ("ignore", "............x??", Standing.BREACHED, WHOLE + 2),
        ("fail after 5", "????.????.....", Standing.CLEAN, WHOLE),
        ("fail after 5", "?????", Standing.BREACHED, 5),
        ("fail after 5", "x?x?x", Standing.BREACHED, 5),
        ("fail after 5", "..........?????", Standing.BREACHED, WHOLE + 2),
    ],
)
def test_how_it_ends(unknown: str, errors: str, ends: Standing, after: int) -> None:
    stands = play(a_watch(unknown), errors)
    assert (len(stands), stands[-1]) == (after, ends)
    assert set(stands[:-1]) <= {Standing.WATCHING}


def test_one_condition_of_several_is_enough() -> None:
    assert play(a_watch(breaches=1), "..", health=".x") == [Standing.WATCHING, Standing.BREACHED]


def test_the_window_ends_when_it_was_to_end_however_long_nobody_measured() -> None:
    watch = a_watch().after([found(0), found(0)], BEGAN)
    late = BEGAN + timedelta(hours=3)
    assert watch.wait(late) == 0
    assert watch.standing is Standing.WATCHING, "what nobody has measured is not clean"
    assert watch.after([found(0), found(0)], late).standing is Standing.CLEAN


def test_the_last_measurement_is_made_when_the_window_ends() -> None:
    watch = a_watch(minutes=0.25).after([found(0), found(0)], BEGAN)
    assert watch.wait(BEGAN) == 10
    watch = watch.after([found(0), found(0)], BEGAN + timedelta(seconds=10))
    assert watch.wait(BEGAN + timedelta(seconds=10)) == 5


def test_the_cause_names_the_condition_and_its_readings() -> None:
    watch = a_watch(breaches=2)
    for number in range(KEPT + 5):
        watch = watch.after([found(7 if number > 5 else 0), found(None if number > 5 else 200)], BEGAN)
    cause = watch.cause("watch", BEGAN)
    assert "errors was 7 at the end of 19 measurements in a row outside its limits (at most 5)" in cause.what
    assert "health was unknown at the end of 19 measurements in a row: no answer within 10 s" in cause.what
    errors, health = cause.signals
    assert len(errors.readings) == KEPT
    assert (errors.statement, health.statement) == ("errors", "GET /health")


def test_what_the_log_says() -> None:
    watch = a_watch("ignore").after([found(7.25), found(None)], BEGAN)
    assert [line(each, watch) for each in watch.watched] == [
        (False, "errors: 7.25 (at most 5), a breach, 1 of 3 in a row"),
        (False, "health: unknown (at most 299), ignored: no answer within 10 s"),
    ]


@pytest.mark.parametrize("wrong", ["", "fail", "fail after 0", "fail after", "breach after 3"])
def test_a_policy_that_makes_no_sense(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="fail after 10"):
        a_watch(wrong)


@pytest.mark.parametrize("wrong", [{"breaches": 0}, {"minutes": 0}])
def test_numbers_that_make_no_sense(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="must be positive"):
        a_watch(**wrong)  # type: ignore[arg-type]
