"""Places in a JSON document, as JSONPath writes them, as far as they name one place: ``$.queues[0]["max length"]``."""

from __future__ import annotations

import json
import re
from typing import Any

_STEP = re.compile(r"""\.([A-Za-z_][\w-]*)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]""")


def parse_path(text: str) -> tuple[str | int, ...]:
    """The keys and indexes that lead there. Raises ValueError."""
    rest = text.removeprefix("$")
    if rest and rest[0] not in ".[":
        rest = f".{rest}"
    steps: list[str | int] = []
    at = 0
    while at < len(rest):
        found = _STEP.match(rest, at)
        if found is None:
            raise ValueError("not a path to one place; write it as $.queues[0].length")
        name, index, quoted = found.groups()
        steps.append(int(index) if index else name or json.loads(quoted))
        at = found.end()
    return tuple(steps)


def follow(document: Any, path: tuple[str | int, ...]) -> Any:
    """What is at a place. Raises LookupError where there is nothing."""
    for step in path:
        match document, step:
            case dict(), str():
                document = document[step]
            case list(), int():
                document = document[step]
            case _:
                raise LookupError(step)
    return document
