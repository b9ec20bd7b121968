"""What is measured of resources after a rollback."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rollback_provider.core.base import Json
from rollback_provider.core.merge import changed_fields
from rollback_provider.core.model import Action
from rollback_provider.core.verification import Check, CheckStatus
from rollback_provider.resources.settle import Settler
from rollback_provider.resources.state import Fields, as_text

_NAMED = 100
"""Differences that a check names; it counts them all."""


def state_check(component: str, noun: str, settler: Settler) -> Check:
    """Every resource is what the rollback makes of it: as in the snapshot, or as somebody else has written it since."""
    same = sum(settler.then.get(address) == settler.now.get(address) for address in settler.addresses)
    wrong = [
        f"{address}: {_difference(settler.now.get(address), target)}"
        for address in settler.addresses
        if (target := settler.target(address)) != settler.now.get(address)
    ]
    others = len(settler.addresses) - same - len(wrong)
    detail = f"{same} {noun} as in the snapshot, {others} changed by others"
    return make_check(component, noun, len(settler.then), len(settler.now), wrong, detail)


def restored_check(component: str, settler: Settler, ledger: Iterable[Json]) -> Iterator[Check]:
    """Conflicts that were to go back to the snapshot must not hold the other value still."""
    listed, wrong = 0, []
    for entry in ledger:
        if entry["action"] != Action.CONFLICT_RESTORED:
            continue
        listed += 1
        address, old = entry["key"]["address"], entry.get("now")
        now = settler.now.get(address)
        if as_text(now, old or now or ()) == old:
            wrong.append(f"{address} still holds what was in conflict")
    if listed:
        yield make_check(component, "conflicts", listed, listed - len(wrong), wrong, f"{listed} conflicts restored")


def make_check(component: str, name: str, expected: object, actual: object, wrong: list[str], detail: str) -> Check:
    """A check that has failed where something is wrong, and names it."""
    return Check(
        component=component,
        name=name,
        status=CheckStatus.FAILED if wrong else CheckStatus.PASSED,
        expected=str(expected),
        actual=str(actual),
        detail=f"{len(wrong)} differences" if wrong else detail,
        differences=tuple(wrong[:_NAMED]),
    )


def _difference(now: Fields | None, target: Fields | None) -> str:
    if now is None:
        return "is missing"
    if target is None:
        return "is still there"
    fields = changed_fields(now, target)
    return f"holds {as_text(now, fields)} instead of {as_text(target, fields)}"
