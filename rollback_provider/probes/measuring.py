"""Measures a probe. What cannot be measured is *unknown*, with the reason: never an error, and never a number."""

from __future__ import annotations

import asyncio
import math
import time
from decimal import Decimal
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async

from rollback_provider.core.base import Model
from rollback_provider.core.component import ConnectionResolver
from rollback_provider.core.errors import RollbackError
from rollback_provider.probes.declared import Probe


class Measurement(Model):
    """What a probe has measured.

    :param value: a finite number; None where it is unknown
    :param unknown: why it is unknown, in words that hold no secret; empty where it is known
    :param seconds: from the question to the answer; of SQL without connecting
    """

    value: float | None = None
    unknown: str = ""
    seconds: float


class UnknownError(Exception):
    """A probe has no answer; the text says why."""


async def measure(probe: Probe, connections: ConnectionResolver) -> Measurement:
    """Measures once, in the probe's timeout (of SQL and a quarter of a second) and the time that `connections` takes. Does not raise.

    `connections` is called in a thread of its own.
    """
    begun = time.monotonic()
    try:
        connection = await sync_to_async(connections, thread_sensitive=False)(probe.connection)
        ask = import_module(f"rollback_provider.probes.{probe.kind}").ask  # with its client, which others need not have
        begun = time.monotonic()
        answer, seconds = await ask(probe, connection)
        return Measurement(value=number(answer), seconds=seconds)
    except TimeoutError:
        reason = f"no answer within {probe.timeout:g} s"
    except UnknownError as error:
        reason = str(error)
    except RollbackError as error:
        reason = error.what
    except ModuleNotFoundError as error:
        reason = f"the package {error.name!r} is not installed"
    return Measurement(unknown=reason, seconds=time.monotonic() - begun)


def measure_now(probe: Probe, connections: ConnectionResolver) -> Measurement:
    """The same for callers outside an event loop."""
    return asyncio.run(measure(probe, connections))


def number(answer: Any) -> float:
    """A finite number, or a boolean as 1 or 0. Raises UnknownError."""
    if not isinstance(answer, bool | int | float | Decimal):
        what = "nothing (null)" if answer is None else f"of type {type(answer).__name__}, not a number"
        raise UnknownError(f"the answer is {what}")
    if not math.isfinite(answer):
        raise UnknownError(f"the answer is {answer}")
    return float(answer)
