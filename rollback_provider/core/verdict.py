"""What checks add up to: a status, a score, a sentence, and the same for each area."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from pydantic.alias_generators import to_snake

from rollback_provider.core.errors import VerificationError
from rollback_provider.core.model import utcnow
from rollback_provider.core.verification import Area, Check, CheckStatus, Tally, Verification

_NAMED = 5
"""Checks that an error names; it counts them all."""


def verdict(checks: Sequence[Check], finished: datetime | None = None) -> Verification:
    """The result of all checks. Without a check nothing is known, and nothing has passed."""
    counts = Counter(check.status for check in checks)
    areas = {area: [check for check in checks if check.area is area] for area in Area}
    return Verification.model_validate(
        {
            "status": overall(checks),
            "finished": finished or utcnow(),
            "checks": checks,
            "score": _score(counts),
            "summary": _summary(counts),
        }
        | {to_snake(area): _tally(found) for area, found in areas.items() if found}
    )


def overall(checks: Iterable[Check]) -> CheckStatus:
    """What checks add up to: the worst of them; unknown where there are none."""
    found = {check.status for check in checks}
    for status in (CheckStatus.FAILED, CheckStatus.UNKNOWN, CheckStatus.WARNING, CheckStatus.PASSED):
        if status in found:
            return status
    return CheckStatus.UNKNOWN


def is_good(verification: Verification) -> bool:
    """Whether everything was measured, and nothing was found wrong but what only warns."""
    return verification.status in {CheckStatus.PASSED, CheckStatus.WARNING}


def refusal(what: str, verification: Verification, *, state: str, next_step: str) -> VerificationError:
    """The error for a verification that is not good; names the first checks that say so.

    :param what: what was verified: ``Rollback r1``
    """
    wrong = [check for check in verification.checks if check.status in {CheckStatus.FAILED, CheckStatus.UNKNOWN}]
    named = "; ".join(" ".join(filter(None, (check.component, check.name, check.scope))) for check in wrong[:_NAMED])
    more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    return VerificationError(
        f"{what} is not verified, {len(wrong)} of {len(verification.checks)} checks say so: {named or 'no check was made'}{more}",
        state=state,
        next_step=next_step,
    )


def _tally(checks: Sequence[Check]) -> Tally:
    counts = Counter(check.status.value for check in checks)
    return Tally(status=overall(checks), **counts)


def _score(counts: Counter[CheckStatus]) -> float | None:
    if not counts.total():
        return None
    return round(100 * (counts[CheckStatus.PASSED] + counts[CheckStatus.WARNING] / 2) / counts.total(), 1)


def _summary(counts: Counter[CheckStatus]) -> str:
    if not counts.total():
        return "No check was made"
    words = {
        CheckStatus.FAILED: "failed",
        CheckStatus.UNKNOWN: "without an answer",
        CheckStatus.WARNING: "to read",
        CheckStatus.PASSED: "passed",
    }
    told = ", ".join(f"{counts[status]:,} {word}" for status, word in words.items() if counts[status])
    return f"{counts.total():,} check{'s' if counts.total() > 1 else ''}: {told}"
