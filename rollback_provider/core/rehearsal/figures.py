"""What the undisturbed trials of a rehearsal measured, as figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from typing import NamedTuple

from rollback_provider.core.rehearsal.model import Rehearsal, Trial
from rollback_provider.core.verification import CheckStatus


class Spread(NamedTuple):
    """Of several measurements, in seconds; of one alone both are that one."""

    p50: float
    p95: float


def undisturbed(rehearsal: Rehearsal) -> list[Trial]:
    """The trials without a fault that passed, on copies of the size that was asked for: those whose times mean something."""
    return [t for t in rehearsal.trials if not t.drill and t.share is None and t.status is CheckStatus.PASSED]


def phases(rehearsal: Rehearsal) -> dict[str, Spread]:
    """How long snapshot, migration, checkpoint, plan, execution and verification took."""
    trials = undisturbed(rehearsal)
    names = dict.fromkeys(name for trial in trials for name in trial.seconds)
    return {name: spread(trial.seconds[name] for trial in trials if name in trial.seconds) for name in names}


def steps(rehearsal: Rehearsal) -> dict[str, Spread]:
    """How long each step of the rollback took, by its title."""
    found: dict[str, list[float]] = {}
    for trial in undisturbed(rehearsal):
        for step in trial.steps:
            found.setdefault(step.title, []).append(step.seconds)
    return {title: spread(values) for title, values in found.items()}


def locks(rehearsal: Rehearsal) -> dict[str, float]:
    """The longest time one lock was held against applications, by what it locked."""
    found: dict[str, float] = {}
    for trial in undisturbed(rehearsal):
        for what, seconds in trial.locks.items():
            found[what] = max(found.get(what, 0.0), seconds)
    return found


def spread(values: Iterable[float]) -> Spread:
    """Median and 95th percentile, each of them a value that was measured (nearest rank)."""
    ordered = sorted(values)
    return Spread(_rank(ordered, 50), _rank(ordered, 95)) if ordered else Spread(0.0, 0.0)


def _rank(ordered: Sequence[float], percent: int) -> float:
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]
