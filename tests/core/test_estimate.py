"""The estimate: lines through trials of different sizes, and what they say of all rows."""

from __future__ import annotations

import pytest

from rollback_provider.core.rehearsal.estimate import estimate
from rollback_provider.core.rehearsal.model import Expected, StepTime, Trial
from rollback_provider.core.verification import CheckStatus


def trial(rows: int, seconds: float, *, share: float | None = 0.1, drill: str = "", steps: str = "back") -> Trial:
    """A trial that passed, and took so long to execute."""
    times = {"generate": 1.0, "execute": seconds, "verify": 2 * seconds}
    done = (StepTime(title=steps, seconds=seconds / 2),)
    return Trial(rows=rows, share=share, drill=drill, status=CheckStatus.PASSED, seconds=times, steps=done)


def test_a_fixed_part_and_a_part_in_proportion() -> None:
    found = estimate([trial(100, 3.0), trial(300, 7.0)], 1000, whole=False)
    assert found is not None
    assert found.rollback == Expected(p50=22.0), (
        "one for each of planning and execution at no rows, and two for each hundred"
    )
    assert found.phases["generate"] == Expected(p50=1.0)
    assert found.phases["verify"] == Expected(p50=42.0)
    assert found.steps == {"back": Expected(p50=10.5)}
    assert (found.rows, found.measured, found.trials) == (1000, (100, 300), 2)


def test_it_reaches_as_far_as_the_measurements_leave_it_open() -> None:
    """The median of all lines: a single slow trial moves its end, not its middle."""
    small, large = [trial(100, seconds) for seconds in (3.0, 3.0, 3.2)], [trial(300, s) for s in (7.0, 7.0, 17.0)]
    found = estimate([*small, *large], 1000, whole=False)
    assert found is not None
    assert found.phases["execute"].p50 == 21.0
    assert found.phases["execute"].low == pytest.approx(20.3)
    assert found.phases["execute"].high == pytest.approx(66.0)


def test_where_all_rows_were_there_it_is_what_was_measured() -> None:
    trials = [trial(1000, seconds, share=None) for seconds in (4.0, 5.0, 9.0)]
    found = estimate([*trials, trial(1000, 50.0, share=None, drill="lock_held")], 1000, whole=True)
    assert found is not None
    assert found.phases["execute"] == Expected(p50=5.0, low=4.0, high=9.0)
    assert found.trials == 3


def test_more_rows_do_not_take_less() -> None:
    found = estimate([trial(200, 4.0), trial(100, 5.0)], 1000, whole=False)
    assert found is not None
    assert found.phases["execute"] == Expected(p50=4.0)


@pytest.mark.parametrize(
    "trials",
    [
        [],
        [trial(100, 3.0, share=None)],
        [trial(100, 3.0), trial(100, 3.5)],
        [trial(100, 3.0), trial(300, 7.0).model_copy(update={"status": CheckStatus.FAILED})],
    ],
)
def test_without_two_sizes_there_is_none(trials: list[Trial]) -> None:
    assert estimate(trials, 1000, whole=False) is None


def test_only_steps_that_every_rollback_had() -> None:
    found = estimate([trial(100, 3.0, steps="in one"), trial(300, 7.0, steps="in several")], 1000, whole=False)
    assert found is not None
    assert found.steps == {}
