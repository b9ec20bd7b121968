"""Answers commands about a project's migrations, in the project's own environment; imports nothing but the standard library.

Commands come in as JSON lines on standard input, each answered by one JSON line: ``{"result": …}`` or ``{"error": …}``. One process
serves a whole walk, because importing a project can take seconds. What else is printed goes to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any


def serve(load: Callable[[], Any]) -> None:
    """Loads a project's migrations, and calls the methods of them that commands name, until standard input ends."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        logging.basicConfig()
        migrations = load()
        for line in sys.stdin:
            request: dict[str, Any] = json.loads(line)
            try:
                answer = {"result": getattr(migrations, request.pop("do"))(**request)}
            except Exception as error:  # noqa: BLE001 - whatever a migration raises is the answer
                traceback.print_exc()
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), file=answers, flush=True)
