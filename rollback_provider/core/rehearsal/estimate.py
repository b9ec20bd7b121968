"""How long a rollback takes on all rows, from trials on copies that hold shares of them.

The model: a time is a fixed part plus a part in proportion to the rows of the database. Each pair of trials on copies of different sizes
is a line through two points, and says one time for all rows; never less than the larger of the two took, since more rows do not take
less. The estimate is the median of what all pairs say (Theil and Sen), and reaches from the least to the most that any of them says.
Where the copies hold all rows, it is what was measured, from the fastest to the slowest.

The model knows nothing of memory that a larger database no longer fits into, nor of another machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from statistics import median

from rollback_provider.core.rehearsal.model import Estimate, Expected, Trial
from rollback_provider.core.verification import CheckStatus

PHASES = ("generate", "execute", "verify")
Point = tuple[int, float]
"""Rows of a copy, and seconds."""


def estimate(trials: Sequence[Trial], rows: int, *, whole: bool) -> Estimate | None:
    """The times of a rollback of `rows` rows; None where no undisturbed trial passed that says anything of them.

    :param whole: the trials without a share were run on copies of all rows
    """
    passed = [trial for trial in trials if not trial.drill and trial.status is CheckStatus.PASSED]
    used = [trial for trial in passed if trial.share is not None or whole]
    sizes = tuple(sorted({trial.rows for trial in used}))
    if not used or (len(sizes) < 2 and rows not in sizes):
        return None

    def of(seconds: Callable[[Trial], float]) -> Expected:
        return _expected([(trial.rows, seconds(trial)) for trial in used], rows)

    titles = set.intersection(*({step.title for step in trial.steps} for trial in used))
    return Estimate(
        rows=rows,
        measured=sizes,
        trials=len(used),
        rollback=of(lambda trial: trial.seconds["generate"] + trial.seconds["execute"]),
        phases={name: of(lambda trial, name=name: trial.seconds[name]) for name in PHASES},  # type: ignore[misc]
        steps={
            step.title: of(lambda trial, title=step.title: _of_step(trial, title))  # type: ignore[misc]
            for step in used[0].steps
            if step.title in titles
        },
    )


def _of_step(trial: Trial, title: str) -> float:
    return sum(step.seconds for step in trial.steps if step.title == title)


def _expected(points: Sequence[Point], rows: int) -> Expected:
    said = [seconds for size, seconds in points if size == rows] or [
        _line(min(pair), max(pair), rows) for pair in combinations(points, 2) if pair[0][0] != pair[1][0]
    ]
    spread = (round(min(said), 3), round(max(said), 3)) if len(said) > 1 else (None, None)
    return Expected(p50=round(median(said), 3), low=spread[0], high=spread[1])


def _line(smaller: Point, larger: Point, rows: int) -> float:
    """What the line through two points says of so many rows."""
    (x, y), (u, v) = smaller, larger
    return v + max(0.0, v - y) * (rows - u) / (u - x)
