"""What a rollback's journal is made of."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from rollback_provider.core.base import Json, Model

EventKind = Literal[
    "begin", "refused", "before", "intent", "note", "done", "failed", "executed", "verified", "abandoned", "undone"
]


class Event(Model):
    """One entry of a rollback's journal.

    ``begin`` opens an attempt, ``refused`` closes one that ended before the first step of all, ``before`` holds the state before that
    step, ``intent`` precedes a step, ``note`` is the step's own progress (the component reads it back after a crash), ``done`` and
    ``failed`` close the step, ``executed`` closes the execution, ``verified`` a verification, ``abandoned`` the rollback; ``undone``
    says that another rollback has undone this one.

    :param number: counts the events of one lane from 1
    :param component: whose lane it is in; empty for that of the rollback as a whole
    """

    number: int
    component: str = ""
    time: datetime
    kind: EventKind
    actor: str = ""
    step: str = ""
    data: Json = Field(default_factory=dict)
