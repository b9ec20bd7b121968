"""A flag of Unleash, as fields, and the way from one to another by calls of which each does all of it or nothing.

Fields: ``description``, ``type``, ``stale``, ``impressionData``, and of each environment ``NAME.enabled`` and ``NAME.strategies``. What an
environment has from the start, off and without strategies, is left out, so that a new environment changes no flag.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from rollback_provider.resources import Fields

ABOUT = ("description", "type", "stale", "impressionData")
ENABLED = ".enabled"
STRATEGIES = ".strategies"
_STRATEGY = ("name", "title", "disabled", "constraints", "parameters", "variants", "segments")


class Call(NamedTuple):
    """One request below the path of the flag."""

    method: str
    path: str
    body: Any = None


def fields_of(about: Mapping[str, Any], environments: Iterable[Mapping[str, Any]]) -> Fields:
    """A flag as Unleash describes it. Ids of strategies are left out: Unleash gives them, and nothing refers to them."""
    fields: Fields = {name: about.get(name) for name in ABOUT}
    for environment in environments:
        if environment["enabled"]:
            fields[environment["name"] + ENABLED] = True
        if strategies := sorted(environment["strategies"], key=lambda each: each.get("sortOrder", 0)):
            fields[environment["name"] + STRATEGIES] = [
                {name: each.get(name) for name in _STRATEGY} for each in strategies
            ]
    return fields


def new_flag(target: Fields) -> Fields:
    """What Unleash makes of a flag that is created with the target's description, type and impression data."""
    return {name: target[name] for name in ABOUT} | {"stale": False}


def stages(now: Fields, target: Fields) -> Iterator[Fields]:
    """What a flag is after each call on the way to `target`: first what is to be off goes off, last what is to be on goes on.

    Strategies keep their places: each is written over the one in its place, further ones are added at the end or taken from it.
    """
    at = deepcopy(now)
    environments = sorted({key.rpartition(".")[0] for key in {**now, **target} if key.endswith((ENABLED, STRATEGIES))})
    for name in environments:
        if at.get(name + ENABLED) and not target.get(name + ENABLED):
            del at[name + ENABLED]
            yield deepcopy(at)
    if any(at[name] != target[name] for name in ABOUT):
        at |= {name: target[name] for name in ABOUT}
        yield deepcopy(at)
    for name in environments:
        for strategies in _places(at.get(name + STRATEGIES, []), target.get(name + STRATEGIES, [])):
            at = _with_strategies(at, name, strategies)
            yield deepcopy(at)
    for name in environments:
        if target.get(name + ENABLED) and not at.get(name + ENABLED):
            at[name + ENABLED] = True
            yield deepcopy(at)


def call(now: Fields, stage: Fields, ids: Mapping[str, list[str]]) -> Call:
    """The call that leads from one stage to the next.

    :param ids: of the strategies in each environment, in order
    """
    changed = [key for key in {**now, **stage} if now.get(key) != stage.get(key)]
    for key in changed:
        name, _, what = key.rpartition(".")
        if f".{what}" == STRATEGIES:
            return _strategy_call(name, now.get(key, []), stage.get(key, []), ids.get(name, []))
    for key in changed:
        if key.endswith(ENABLED):
            name = key.removesuffix(ENABLED)
            return Call("POST", f"/environments/{name}/{'on' if stage.get(key) else 'off'}")
    return Call("PUT", "", {name: stage[name] for name in ABOUT})


def _with_strategies(flag: Fields, environment: str, strategies: list[Fields]) -> Fields:
    left_out = set() if strategies else {environment + STRATEGIES}
    if all(each["disabled"] for each in strategies):
        left_out.add(environment + ENABLED)  # Unleash itself turns it off then
    changed = {**flag, environment + STRATEGIES: strategies}
    return {key: value for key, value in changed.items() if key not in left_out}


def _places(now: list[Fields], target: list[Fields]) -> Iterator[list[Fields]]:
    at = list(now)
    for place, strategy in enumerate(target):
        if at[place : place + 1] != [strategy]:
            at[place : place + 1] = [strategy]
            yield list(at)
    while len(at) > len(target):
        at.pop()
        yield list(at)


def _strategy_call(environment: str, now: list[Fields], stage: list[Fields], ids: list[str]) -> Call:
    path = f"/environments/{environment}/strategies"
    if len(stage) < len(now):
        return Call("DELETE", f"{path}/{ids[-1]}")
    if len(stage) > len(now):
        return Call("POST", path, stage[-1])
    place = next(number for number, strategy in enumerate(stage) if strategy != now[number])
    return Call("PUT", f"{path}/{ids[place]}", stage[place])
