"""Why a rollback was begun, and what was measured of the running system then."""

from __future__ import annotations

from datetime import datetime

from rollback_provider.core.base import Model


class Reading(Model):
    """One measurement of a running system.

    :param value: None where it is unknown
    :param unknown: why
    """

    time: datetime
    value: float | None = None
    unknown: str = ""


class Signal(Model):
    """A condition on a running system that was watched, or a number that tells of the damage.

    :param limits: what was demanded, in words; empty where nothing was
    :param statement: the question that was put: a query, a path
    :param bad: whether it speaks against the migration
    :param streak: how many of the last measurements, in a row, do
    :param readings: the last ones, oldest first
    """

    name: str
    limits: str = ""
    statement: str = ""
    bad: bool = False
    streak: int = 0
    readings: tuple[Reading, ...] = ()


class Cause(Model):
    """Why a rollback was begun.

    :param what: one or two sentences
    :param source: who said so: a task, an asset, a person
    :param time: when
    :param signals: what was watched after the migration
    :param impact: what it did to users, where that was measured
    """

    what: str
    source: str
    time: datetime
    signals: tuple[Signal, ...] = ()
    impact: tuple[Signal, ...] = ()
