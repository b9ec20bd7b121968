"""Users of the shop, who come back all the time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread

import httpx


class Users:
    """Users with a cookie each, and what became of their requests.

    :param url: of the shop, as they reach it
    """

    def __init__(self, url: str, names: Sequence[str]) -> None:
        self.ways: dict[str, list[str]] = {name: [] for name in names}
        """The servers that each has been on, one after the other."""
        self.requests = 0
        self.errors: Counter[str] = Counter()
        self._url = url
        self._answered: Counter[str] = Counter()
        self._stop = Event()

    @contextmanager
    def coming(self) -> Iterator[None]:
        """They come within this context, and each has been there when it begins and once more before it ends."""
        threads = [Thread(target=self._come, args=(name,), daemon=True) for name in self.ways]
        for thread in threads:
            thread.start()
        try:
            self._wait_for_all(1)
            yield
            self._wait_for_all(3)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            self.requests = self._answered.total() + self.errors.total()

    def _wait_for_all(self, more: int) -> None:
        wanted = {name: self._answered[name] + more for name in self.ways}
        while any(self._answered[name] < count for name, count in wanted.items()):
            time.sleep(0.01)

    def _come(self, name: str) -> None:
        with httpx.Client(base_url=self._url, cookies={"user": name}, timeout=10) as client:
            while not self._stop.is_set():
                try:
                    server = client.get("/").raise_for_status().json()["server"]
                except (httpx.HTTPError, ValueError, KeyError) as error:
                    self.errors[type(error).__name__] += 1
                else:
                    if self.ways[name][-1:] != [server]:
                        self.ways[name].append(server)
                    self._answered[name] += 1
                time.sleep(0.01)
