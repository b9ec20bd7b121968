"""Whether a query or an endpoint is as fast as it was: measured before the migration, and again after it and after its rollback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from statistics import median, quantiles
from typing import Any, ClassVar

from pydantic import Field, model_validator

from rollback_provider.checks.database import fetch, reading
from rollback_provider.checks.query_plan import lost, used_indexes
from rollback_provider.checks.rank import p_larger
from rollback_provider.core.base import Json
from rollback_provider.core.checks import Options, read_options, required_connection
from rollback_provider.core.component import ConnectionResolver
from rollback_provider.core.errors import ComponentUnavailableError
from rollback_provider.core.verification import Area, Check, CheckSpec, CheckStatus

ENOUGH = 20
"""Samples on each side without which nothing is claimed."""
SURE = 0.01
"""How likely a claim is false at most, where load and data are what they were."""
NOTHING = 0.001
"""Seconds by which an answer may be slower whatever the ratio: below, a busy machine says more than the query."""
WARM = 5
"""Runs before the first that counts."""
FETCHED = 10_000
"""Rows of a result that are read."""


class PerformanceOptions(Options):
    """What a check of the kind ``performance`` takes.

    :param sql: a query, on a connection of type ``postgres``; its plan is compared, too
    :param path: or the path of a GET request, on a connection of type ``http``
    :param tolerance: how many times as long an answer may take as before
    :param samples: how often it is measured each time, in half of the check's timeout
    """

    sql: str = ""
    path: str = Field(default="", pattern=r"^(/([^/\s][^\s]*)?)?$")
    tolerance: float = Field(default=1.5, gt=1, le=100)
    samples: int = Field(default=60, ge=ENOUGH, le=1000)

    @model_validator(mode="after")
    def _one(self) -> PerformanceOptions:
        if bool(self.sql) == bool(self.path):
            raise ValueError("give sql or a path")
        return self


class PerformanceCheck:
    """Compares the times of an answer with those before the migration, by ranks, as a ratio with a tolerance."""

    kind: ClassVar[str] = "performance"
    one_by_one: ClassVar[bool] = True

    def __init__(self, spec: CheckSpec) -> None:
        self.spec = spec
        self._options = read_options(PerformanceOptions, spec)
        self._connection = required_connection(spec)

    @property
    def statement(self) -> str:
        """The query, or the request without its query."""
        return self._options.sql or f"GET {self._options.path.partition('?')[0]}"

    def sealed(self) -> CheckSpec:
        """The declaration as it is: it refers to nothing."""
        return self.spec

    def measure(self, connections: ConnectionResolver) -> Json:
        """Times in seconds, and the indexes that a query uses. Raises ComponentUnavailableError where there are too few of them."""
        found, _ = self._measured(connections, None)
        if len(found["seconds"]) < ENOUGH:
            raise ComponentUnavailableError(
                f"Check {self.spec.name!r} got {len(found['seconds'])} answers in {self.spec.timeout / 2:g} s, and {ENOUGH} are needed",
                component=self._connection,
                next_step="Give it a longer timeout, or something faster to measure",
            )
        return found

    def run(self, connections: ConnectionResolver, baseline: Json | None) -> Sequence[Check]:
        """One check of the times, and one of the plan where there is one."""
        if baseline is None:
            return []
        now, plan = self._measured(connections, baseline)
        return [self._compared(baseline["seconds"], now["seconds"]), *plan]

    def _compared(self, before: Sequence[float], now: Sequence[float]) -> Check:
        if len(now) < ENOUGH:
            return self._check(CheckStatus.UNKNOWN, detail=f"{len(now)} answers in time, and {ENOUGH} are needed")
        limits = [max(each * self._options.tolerance, each + NOTHING) for each in before]
        slower, within = p_larger(now, limits), p_larger(limits, now)
        if slower < SURE:
            status, detail = CheckStatus.FAILED, f"slower than tolerated (p {slower:.1g})"
        elif within < SURE:
            status, detail = CheckStatus.PASSED, f"within the tolerance (p {within:.1g})"
        else:
            status, detail = CheckStatus.UNKNOWN, "too close to the tolerance to tell: take more samples"
        ratio = median(now) / median(before)
        return self._check(
            status,
            expected=f"at most {self._options.tolerance:g} times {_spread(before)}",
            actual=f"{ratio:.2f} times: {_spread(now)}",
            detail=f"{detail}; {len(before)} and {len(now)} samples, rank test of Mann and Whitney",
        )

    def _measured(self, connections: ConnectionResolver, baseline: Json | None) -> tuple[Json, list[Check]]:
        connection, options = connections(self._connection), self._options
        if options.path:
            from rollback_provider.probes.http import get

            return {"seconds": self._sample(lambda: _get(get, connection, options.path, self.spec.timeout))}, []
        with reading(connection, self.spec.timeout) as session:
            indexes = used_indexes(session, options.sql)
            seconds = self._sample(lambda: fetch(session, options.sql, FETCHED))
            plan = [] if baseline is None else [self._plan(list(lost(session, baseline["indexes"], indexes)), indexes)]
        return {"seconds": seconds, "indexes": indexes}, plan

    def _plan(self, found: Sequence[tuple[CheckStatus, str]], indexes: Json) -> Check:
        statuses = {status for status, _ in found}
        worst = next(
            (each for each in (CheckStatus.FAILED, CheckStatus.WARNING) if each in statuses), CheckStatus.PASSED
        )
        used = ", ".join(indexes) or "none"
        return self._check(
            worst, scope="plan", detail=f"indexes used: {used}", differences=tuple(text for _, text in found)
        )

    def _sample(self, work: Callable[[], object]) -> list[float]:
        """Times of as many runs as wanted, or as fit into half of the timeout, after a few to warm up."""
        end = time.monotonic() + self.spec.timeout / 2
        for _ in range(WARM):
            work()
        seconds: list[float] = []
        while len(seconds) < self._options.samples and time.monotonic() < end:
            begun = time.perf_counter()
            work()
            seconds.append(round(time.perf_counter() - begun, 6))
        return seconds

    def _check(self, status: CheckStatus, *, scope: str = "times", **told: Any) -> Check:
        return Check(
            component=self._connection,
            name=self.spec.name,
            scope=scope,
            status=status,
            area=Area.PERFORMANCE,
            **told,
        )


def _get(get: Callable[..., Any], connection: Any, path: str, within: float) -> None:
    status, _, _ = asyncio.run(get(connection, path, within=within))
    if not 200 <= status < 300:
        raise ComponentUnavailableError(f"The answer is {status}, whose time means nothing", component=connection.id)


def _spread(seconds: Sequence[float]) -> str:
    return f"{1000 * median(seconds):.2f} ms (95 % under {1000 * quantiles(seconds, n=20)[-1]:.2f} ms)"
