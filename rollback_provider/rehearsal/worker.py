"""A worker in a process of its own, which can be killed the way the kernel kills: ``python -m rollback_provider.rehearsal.worker``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rollback_provider.core.base import Json
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import RollbackError, StepFailedError
from rollback_provider.core.executor import execute


class DyingStore:
    """A store whose process dies right before a document is written.

    :param last: number of that document
    """

    def __init__(self, store: Any, last: int) -> None:
        self._store = store
        self._left = last
        self.url = store.url

    def create(self, name: str, document: Json) -> None:
        """Writes a document, or dies."""
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)
        self._store.create(name, document)

    def names(self, prefix: str) -> Iterator[str]:
        """Lists documents."""
        found: Iterator[str] = self._store.names(prefix)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _Silent:
    def update(self, what: str, *, done: float, total: float | None = None, unit: str = "rows") -> None:
        """Says nothing."""

    def message(self, text: str) -> None:
        """Says nothing."""


def execute_apart(store_url: str, rollback_id: str, connection: Connection, last: int) -> bool:
    """Executes a rollback in another process, which is killed before its n-th document; says whether it was.

    The connection goes through the process's standard input: nobody sees its password in a list of processes.

    Raises StepFailedError where it ended in another way than killed or done.
    """
    job = {"store": store_url, "rollback": rollback_id, "connection": asdict(connection), "last": last}
    done = subprocess.run(  # noqa: S603  this module itself
        [sys.executable, "-m", __name__], input=json.dumps(job), capture_output=True, text=True, check=False
    )
    if done.returncode not in {0, -signal.SIGKILL}:
        raise StepFailedError(f"The worker has failed: {done.stderr.strip()[-500:]}")
    return done.returncode == -signal.SIGKILL


def main() -> int:
    """Executes the job that stands on standard input."""
    from rollback_provider.store import open_store

    job = json.load(sys.stdin)
    connection = Connection(**job["connection"])
    store = DyingStore(open_store(job["store"]), job["last"])
    try:
        execute(store, job["rollback"], lambda _: connection, _Silent(), actor="rehearsal")
    except RollbackError as error:
        sys.stderr.write(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
