"""A triggerer's process, as a trigger sees it: each line that it reads is a trigger as Airflow stores it, and is answered with its event."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module
from typing import Any


async def fired(path: str, arguments: dict[str, Any]) -> Any:
    """The first event of a trigger, which is its last."""
    module, _, name = path.rpartition(".")
    async for event in getattr(import_module(module), name)(**arguments).run():
        return event.payload
    raise AssertionError("nothing was fired")


if __name__ == "__main__":
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(asyncio.run(fired(*json.loads(line)))), file=out, flush=True)
