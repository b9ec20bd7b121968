"""Copies rows of many tables out of the database, in parallel under one exported snapshot, into blocks in the store."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from psycopg import errors as pg
from psycopg import sql

from rollback_provider.components.postgres.blocks import Block, Extract, Stored, read_blocks
from rollback_provider.components.postgres.session import Session, sharing
from rollback_provider.core.component import BlobWriter, Progress
from rollback_provider.core.errors import ComponentError, ComponentUnavailableError
from rollback_provider.core.model import BlobRef

WORKERS = 2
WORTH_WORKERS = 64 * 1024 * 1024
"""Bytes of heap below which starting workers costs more than it gains."""
WORTH_SESSION = 3
"""Ranges of one table beyond the first from which a second session gains more than it costs, though few of their rows are read."""


@dataclass
class Copied:
    """What was copied under one label, in no particular order of blocks."""

    blocks: list[Block] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(block.rows for block in self.blocks)


_Frame = tuple[Extract, Block, list[Stored]]


class Copier:
    """Runs extracts in `session`'s transaction, or in worker processes that share its exported snapshot where that pays.

    :param info: connection string for the workers; None where only this session can see the rows (uncommitted changes)
    """

    def __init__(self, session: Session, snapshot: str, info: str | None, component: str) -> None:
        self.session = session
        self._beside: Session | None = None
        self._snapshot = snapshot
        self._info = info
        self._component = component
        self._workers: list[subprocess.Popen[bytes]] = []
        self._cancelled = threading.Event()

    def run(
        self, extracts: Sequence[Extract], blobs: BlobWriter | None, progress: Progress, what: str
    ) -> dict[str, Copied]:
        """Copies all extracts; with `blobs` None the rows are only counted and hashed.

        Raises ComponentUnavailableError; driver errors of this session pass through.
        """
        result: dict[str, Copied] = {extract.label: Copied() for extract in extracts}
        expected = sum(extract.size for extract in extracts)
        done = 0
        for extract, block, stored in self._blocks(extracts, keep=blobs is not None):
            if blobs is not None:
                for ref, data in stored:
                    blobs.put_compressed(ref, data)
            result[extract.label].blocks.append(block)
            done += block.size
            progress.update(what, done=done, total=max(done, expected), unit="bytes")
        return result

    def fetch(self, query: sql.Composed, parts: Sequence[Sequence[object]]) -> list[tuple[Any, ...]]:
        """Rows of a query for each set of parameters, in order; half of the sets in a session beside this one, where there can be one."""

        def rows(session: Session, parts: Sequence[Sequence[object]]) -> list[tuple[Any, ...]]:
            return [row for part in parts for row in session.execute(query, part).fetchall()]

        if self._info is None or len(parts) == 1:
            return rows(self.session, parts)
        middle = len(parts) // 2
        with self._sharing(self._info) as beside, ThreadPoolExecutor(1) as pool:
            second = pool.submit(rows, beside, parts[middle:])
            return rows(self.session, parts[:middle]) + second.result()

    def cancel(self) -> None:
        """Ends the workers. Called from another thread."""
        self._cancelled.set()
        for worker in self._workers:
            worker.kill()
        if self._beside is not None and not self._beside.closed:
            self._beside.cancel_safe(timeout=5)

    def _blocks(self, extracts: Sequence[Extract], *, keep: bool) -> Iterator[_Frame]:
        if self._info is not None and sum(extract.size for extract in extracts) >= WORTH_WORKERS:
            yield from self._parallel(extracts, keep=keep)
        elif self._info is not None and len(extracts) - len({extract.label for extract in extracts}) >= WORTH_SESSION:
            with self._sharing(self._info) as beside, ThreadPoolExecutor(1) as pool:
                second = pool.submit(lambda: [*_read(beside, extracts[1::2], keep=keep)])
                yield from _read(self.session, extracts[::2], keep=keep)
                yield from second.result()
        else:
            yield from _read(self.session, extracts, keep=keep)

    @contextmanager
    def _sharing(self, info: str) -> Iterator[Session]:
        """A second session in the same snapshot."""
        with closing(sharing(info, self._snapshot)) as self._beside:
            yield self._beside

    def _parallel(self, extracts: Sequence[Extract], *, keep: bool) -> Iterator[_Frame]:
        jobs: SimpleQueue[Extract] = SimpleQueue()
        for extract in sorted(extracts, key=lambda extract: -extract.size):
            jobs.put(extract)
        frames: SimpleQueue[_Frame | Exception | None] = SimpleQueue()
        room = threading.Semaphore(2 * WORKERS)
        threads = [
            threading.Thread(target=self._feed, args=(jobs, frames, room, keep), daemon=True) for _ in range(WORKERS)
        ]
        for thread in threads:
            thread.start()
        running = len(threads)
        try:
            while running:
                frame = frames.get()
                if frame is None:
                    running -= 1
                elif isinstance(frame, Exception):
                    raise frame
                else:
                    yield frame
                    room.release()
        finally:
            for worker in self._workers:
                worker.kill()
                worker.wait()
            self._workers.clear()

    def _feed(
        self,
        jobs: SimpleQueue[Extract],
        frames: SimpleQueue[_Frame | Exception | None],
        room: threading.Semaphore,
        keep: bool,  # noqa: FBT001  a thread's arguments are positional
    ) -> None:
        try:
            worker = subprocess.Popen(
                [sys.executable, "-m", "rollback_provider.components.postgres.blocks"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            self._workers.append(worker)
            self._tell(worker, {"conninfo": self._info, "snapshot": self._snapshot})
            for extract in _drain(jobs):
                self._tell(worker, {"extract": asdict(extract), "keep": keep})
                for block, stored in self._frames(worker):
                    room.acquire()
                    frames.put((extract, block, stored))
            frames.put(None)
        except Exception as error:  # noqa: BLE001  whatever it is, the thread that waits must hear of it
            frames.put(self._lost(error))

    def _frames(self, worker: subprocess.Popen[bytes]) -> Iterator[tuple[Block, list[Stored]]]:
        assert worker.stdout is not None  # noqa: S101  opened as a pipe above
        while True:
            line = worker.stdout.readline()
            if not line:
                raise OSError("a worker ended early")
            head = json.loads(line)
            if not head:
                return
            if "error" in head:
                raise pg.lookup(head["sqlstate"])(head["error"]) if head["sqlstate"] else OSError(head["error"])
            refs = [BlobRef(**ref) for ref in head["stored"]]
            stored = [(ref, worker.stdout.read(ref.stored_size)) for ref in refs]
            if any(len(data) != ref.stored_size for ref, data in stored):
                raise OSError("a worker ended in the middle of a block")
            yield Block(**head["block"]), stored

    def _tell(self, worker: subprocess.Popen[bytes], message: dict[str, object]) -> None:
        assert worker.stdin is not None  # noqa: S101  opened as a pipe above
        worker.stdin.write(json.dumps(message).encode() + b"\n")
        worker.stdin.flush()

    def _lost(self, error: Exception) -> Exception:
        if isinstance(error, pg.Error | ComponentError) and not self._cancelled.is_set():
            return error
        what = "Copying was cancelled" if self._cancelled.is_set() else f"A copying worker was lost ({error})"
        return ComponentUnavailableError(what, component=self._component)


def _read(session: Session, extracts: Iterable[Extract], *, keep: bool) -> Iterator[_Frame]:
    for extract in extracts:
        for block, stored in read_blocks(session, extract, keep=keep):
            yield extract, block, stored


def _drain(jobs: SimpleQueue[Extract]) -> Iterable[Extract]:
    while True:
        try:
            yield jobs.get_nowait()
        except Empty:
            return
