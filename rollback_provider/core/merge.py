"""The three-way rule, for one row or resource: what the migration did is taken back, what applications did stays."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from rollback_provider.core.model import Action

_ABSENT = object()


class Versions(NamedTuple):
    """One thing and its fields at three times; None where there was none.

    :param then: in the snapshot
    :param left: as the migration left it
    """

    then: dict[str, Any] | None
    left: dict[str, Any] | None
    now: dict[str, Any] | None


class Finding(NamedTuple):
    """What the ledger says of it: the action, and the fields it concerns."""

    action: Action
    fields: Collection[str]


def merge(versions: Versions, conflicts: str) -> tuple[dict[str, Any] | None, list[Finding]]:
    """What it becomes, field by field, and what of that is the ledger's concern.

    :param conflicts: ``restore`` lets the snapshot win where both have changed a value, anything else the application
    """
    then, left, now = versions
    if now in (left, then):
        return _copy(then), []
    if left == then:
        return _copy(now), []
    conflict = Action.CONFLICT_RESTORED if conflicts == "restore" else Action.CONFLICT_KEPT
    if then is None or left is None or now is None:
        return _copy(then if conflicts == "restore" else now), [
            Finding(conflict, {**(then or {}), **(left or {}), **(now or {})})
        ]
    target: dict[str, Any] = {}
    theirs, contested = [], []
    for field in {**then, **left, **now}:
        was, migrated, current = (each.get(field, _ABSENT) for each in (then, left, now))
        value = current if migrated == was else was
        if migrated not in (was, current) and current != was:
            contested.append(field)
            value = was if conflicts == "restore" else current
        elif current != migrated:
            theirs.append(field)
        if value is not _ABSENT:
            target[field] = value
    findings = [Finding(conflict, contested)] if contested else []
    return target, findings + ([Finding(Action.MERGED, theirs)] if theirs and target != now else [])


def came_about(was: dict[str, Any] | None, became: dict[str, Any] | None, now: dict[str, Any] | None) -> bool:
    """Whether a write that was noted has been done, whatever an application has written to other fields since."""
    if now is None or became is None:
        return now == became
    return all(now.get(f, _ABSENT) == became.get(f, _ABSENT) for f in changed_fields(was, became))


def changed_fields(was: dict[str, Any] | None, became: dict[str, Any] | None) -> list[str]:
    """Names of fields that differ."""
    was, became = was or {}, became or {}
    return [field for field in {**was, **became} if was.get(field, _ABSENT) != became.get(field, _ABSENT)]


def _copy(fields: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if fields is None else dict(fields)
