"""Watches conditions for the time a migration takes to prove itself: consecutive breaches end the watch, and so does a clean window."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from rollback_provider.core.base import Model
from rollback_provider.core.cause import Cause, Reading, Signal
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.probes.condition import Condition, Verdict
from rollback_provider.probes.declared import Probe
from rollback_provider.probes.measuring import Measurement

KEPT = 20
"""Readings of each condition that are kept; older ones are in the log."""


class Standing(StrEnum):
    """How a watch stands."""

    WATCHING = "watching"
    CLEAN = "clean"
    """The window is over, and at its end nothing was in doubt."""
    BREACHED = "breached"
    """The migration has to be taken back."""


class Watched(Model):
    """A condition, and how it has fared.

    :param breaches: measurements in a row, up to the last, that were breaches
    :param unknowns: the same of those that were unknown
    :param seen: whether it was ever measured to be fine
    """

    condition: Condition
    breaches: int = 0
    unknowns: int = 0
    seen: bool = False
    readings: tuple[Reading, ...] = ()

    @property
    def signal(self) -> Signal:
        """For the record."""
        return Signal(
            name=self.condition.name,
            limits=self.condition.limits,
            statement=statement(self.condition.probe),
            bad=bool(self.breaches or self.unknowns),
            streak=self.breaches or self.unknowns,
            readings=self.readings,
        )


class Watch(Model):
    """A watch and its state. It is JSON through and through, so it goes on where another process has left it.

    :param until: when the window ends; an absolute time, so that no restart makes it longer or shorter
    :param interval: seconds between two measurements
    :param breaches: how many breaches in a row end it
    :param unknowns: how many unknown measurements in a row end it; None if they count as breaches, 0 if they count as nothing
    :param last: when it was last measured
    """

    until: datetime
    interval: float
    breaches: int
    unknowns: int | None
    watched: tuple[Watched, ...]
    last: datetime | None = None

    def after(self, found: Sequence[Measurement], now: datetime) -> Watch:
        """The watch with one more measurement of each condition."""
        return self.model_copy(
            update={
                "last": now,
                "watched": tuple(self._after(each, one, now) for each, one in zip(self.watched, found, strict=True)),
            }
        )

    def _after(self, watched: Watched, found: Measurement, now: datetime) -> Watched:
        verdict = watched.condition.judge(found)
        # What was in doubt when the window ended is waited for, but not for ever.
        unresolved = watched.breaches and now >= self.until and not self.unknowns
        if verdict is Verdict.UNKNOWN and (self.unknowns is None or unresolved):
            verdict = Verdict.BREACH
        reading = Reading(time=now, value=found.value, unknown=found.unknown)
        counts = {
            Verdict.FINE: {"breaches": 0, "unknowns": 0, "seen": True},
            Verdict.BREACH: {"breaches": watched.breaches + 1, "unknowns": 0},
            Verdict.UNKNOWN: {"unknowns": watched.unknowns + 1},
        }[verdict]
        return watched.model_copy(update={**counts, "readings": (*watched.readings, reading)[-KEPT:]})

    @property
    def standing(self) -> Standing:
        """How it stands after the last measurement, which decides about the end of the window, too."""
        if self.against:
            return Standing.BREACHED
        doubt = any(each.breaches or (each.unknowns and self.unknowns) for each in self.watched)
        return Standing.CLEAN if self.over and not doubt else Standing.WATCHING

    @property
    def over(self) -> bool:
        """Whether the last measurement was made after the window."""
        return self.last is not None and self.last >= self.until

    def wait(self, now: datetime) -> float:
        """Seconds until the next measurement."""
        if self.last is None:
            return 0.0
        due = self.last + timedelta(seconds=self.interval)
        if self.last < self.until:
            due = min(due, self.until)
        return max(0.0, (due - now).total_seconds())

    @property
    def against(self) -> tuple[Watched, ...]:
        """Conditions that end the watch."""
        return tuple(
            each
            for each in self.watched
            if each.breaches >= self.breaches
            or (self.unknowns and each.unknowns >= self.unknowns)
            or (self.over and not each.seen and not each.breaches and each.unknowns and not self.unknowns)
        )

    def streaks(self) -> tuple[tuple[int, int, bool], ...]:
        """What the next measurements build on; a change of it is worth keeping."""
        return tuple(
            (each.breaches, each.unknowns if self.unknowns else 0, each.seen and self.unknowns == 0)
            for each in self.watched
        )

    def cause(self, source: str, now: datetime, impact: Sequence[Signal] = ()) -> Cause:
        """Why the migration has to be taken back."""
        return Cause(
            what=". ".join(self._why(each) for each in self.against),
            source=source,
            time=now,
            signals=tuple(each.signal for each in self.watched),
            impact=tuple(impact),
        )

    def _why(self, watched: Watched) -> str:
        name, last = watched.condition.name, watched.readings[-1]
        if not watched.breaches and not self.unknowns:
            return f"{name} was unknown in the whole window: {last.unknown}"
        count = watched.breaches or watched.unknowns
        rows = f"{count} measurements in a row" if count > 1 else "one measurement"
        if last.value is None:
            return f"{name} was unknown at the end of {rows}: {last.unknown}"
        return f"{name} was {last.value:g} at the end of {rows} outside its limits ({watched.condition.limits})"


def begin(
    conditions: Sequence[Condition],
    *,
    bake: timedelta,
    interval: float,
    breaches: int,
    unknown: str,
    now: datetime,
) -> Watch:
    """A watch that begins now. Raises ConfigurationError; see :func:`parse_unknown` for `unknown`."""
    if bake <= timedelta() or interval <= 0 or breaches < 1:
        raise ConfigurationError(
            "The bake window, the interval and the number of breaches must be positive; "
            f"they are {bake}, {interval:g} s and {breaches}"
        )
    return Watch(
        until=now + bake,
        interval=interval,
        breaches=breaches,
        unknowns=parse_unknown(unknown),
        watched=tuple(Watched(condition=each) for each in conditions),
    )


def parse_unknown(policy: str) -> int | None:
    """What a policy for unknown measurements says: ``breach`` (None), ``ignore`` (0), ``fail after 10`` (10). Raises ConfigurationError."""
    if policy == "breach":
        return None
    if policy == "ignore":
        return 0
    found = re.fullmatch(r"fail after ([1-9]\d{0,5})", policy)
    if found is None:
        raise ConfigurationError(
            f"Unknown measurements cannot be handled by {policy!r}",
            next_step="Use 'breach', 'ignore', or 'fail after 10' with a number of your own",
        )
    return int(found[1])


def statement(probe: Probe) -> str:
    """The question that a probe puts."""
    return f"GET {probe.path.partition('?')[0]}" if probe.kind == "http" else probe.query


def impact_of(found: Mapping[str, tuple[Probe, Measurement]], now: datetime) -> tuple[Signal, ...]:
    """Numbers that tell of the damage, for the record."""
    return tuple(
        Signal(
            name=name,
            statement=statement(probe),
            readings=(Reading(time=now, value=one.value, unknown=one.unknown),),
        )
        for name, (probe, one) in found.items()
    )


def line(watched: Watched, watch: Watch) -> tuple[bool, str]:
    """Whether a condition's last measurement is fine, and what to say of it in the log."""
    last, condition = watched.readings[-1], watched.condition
    value = "unknown" if last.value is None else f"{last.value:g}"
    text = f"{condition.name}: {value} ({condition.limits})"
    if watched.breaches:
        text += f", a breach, {watched.breaches} of {watch.breaches} in a row"
    elif watched.unknowns:
        text += f", {watched.unknowns} of {watch.unknowns} in a row" if watch.unknowns else ", ignored"
    return not (watched.breaches or watched.unknowns), text + (f": {last.unknown}" if last.unknown else "")
