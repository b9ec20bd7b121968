"""The order of row actions: what is referred to is there first."""

from __future__ import annotations

from collections.abc import Sequence

from rollback_provider.components.postgres.reversal import TableChange
from rollback_provider.core.base import Json


def parents_first(changes: Sequence[TableChange]) -> list[TableChange]:
    """Tables in an order in which rows can be inserted: what is referred to comes first; circles are cut anywhere."""
    waiting = {change.then.oid: change for change in changes}
    ordered: list[TableChange] = []
    while waiting:
        ready = [
            oid
            for oid, change in waiting.items()
            if not any(fk.references in waiting and fk.references != oid for fk in change.then.foreign_keys)
        ]
        ordered += [waiting.pop(oid) for oid in ready or [next(iter(waiting))]]
    return ordered


def deferring(inserts: list[Json]) -> list[Json]:
    """Puts insertions that refer to each other in a circle, or to themselves, into one transaction with deferred constraints."""
    place = {action["table"]["oid"]: i for i, action in enumerate(inserts)}
    constraints = [
        {
            "table": action["table"]["oid"],
            "schema": action["table"]["schema"],
            "name": action["table"]["name"],
            "constraint": key["name"],
        }
        for action in inserts
        for key in action["table"]["foreign_keys"]
        if place.get(key["references"], -1) >= place[action["table"]["oid"]]
    ]
    if not constraints:
        return inserts
    circle = {constraint["table"] for constraint in constraints} | {
        key["references"] for action in inserts for key in action["table"]["foreign_keys"] if key["references"] in place
    }
    inside = [action for action in inserts if action["table"]["oid"] in circle]
    outside = [action for action in inserts if action["table"]["oid"] not in circle]
    rows = sum(action["rows"] for action in inside)
    return [{"do": "deferred", "constraints": constraints, "actions": inside, "rows": rows}, *outside]
