"""One operation of the package in a process of its own, so that its memory can be measured.

Prints one line of JSON: the operation's seconds, start-up and imports aside, and the id of what it has made.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from rollback_provider.components.postgres.embedded import Server
from rollback_provider.core import capturer, executor, planner, verifier
from rollback_provider.core.model import ComponentSpec
from rollback_provider.store import open_store


class Quiet:
    """Progress that nobody watches."""

    def update(self, what: str, *, done: float, total: float | None = None, unit: str = "rows") -> None:
        """Ignores an update."""

    def message(self, text: str) -> None:
        """Ignores a message."""


def main() -> None:
    """Runs the operation that the arguments name: operation, store's URL, socket, database or id."""
    name, url, socket, argument = sys.argv[1:5]
    server = Server(socket, Path(), Path())
    store = open_store(url)
    resolve, progress, actor = server.resolve, Quiet(), "benchmark"
    started = time.perf_counter()
    made = ""
    match name:
        case "snapshot":
            spec = ComponentSpec(kind="postgres", name="measurements", connection=argument)
            made = capturer.take_snapshot(store, "benchmark", [spec], resolve, progress, actor=actor).id
        case "checkpoint":
            made = capturer.take_checkpoint(store, argument, resolve, progress, actor=actor).id
        case "generate":
            made = planner.generate(store, argument, resolve, progress, actor=actor).rollback_id
        case "execute":
            executor.execute(store, argument, resolve, progress, actor=actor)
        case "verify":
            made = verifier.verify(store, argument, resolve, progress, actor=actor).execution.status
        case _:
            raise ValueError(name)
    print(json.dumps({"seconds": time.perf_counter() - started, "made": made}))


if __name__ == "__main__":
    main()
