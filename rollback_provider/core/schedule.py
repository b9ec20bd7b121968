"""Runs work on several components at the same time, each as soon as those that it needs are done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rollback_provider.core.model import ComponentSpec

T = TypeVar("T")


@dataclass
class Outcome(Generic[T]):
    """What became of each piece of work.

    :param done: results, in the order in which the work was given
    :param failed: errors, in that order
    :param waiting: what was not begun, and which of its needs it waits for
    """

    done: dict[str, T] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)
    waiting: dict[str, tuple[str, ...]] = field(default_factory=dict)


def run_side_by_side(needs: Mapping[str, Collection[str]], work: Callable[[str], T]) -> Outcome[T]:
    """Calls `work` with each name of `needs`, in threads of its own, after those that it needs.

    Where one fails, what needs it is not begun, and everything else goes on. What is no Exception (a worker that is stopped) ends it as
    soon as what runs has ended: nothing more is begun.
    """
    results: dict[str, T] = {}
    outcome: Outcome[T] = Outcome()
    running: dict[Future[T], str] = {}
    left = dict(needs)
    with ThreadPoolExecutor(max_workers=max(1, len(needs)), thread_name_prefix="component") as pool:
        while True:
            for name in [name for name, needed in left.items() if results.keys() >= set(needed)]:
                del left[name]
                running[pool.submit(work, name)] = name
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                try:
                    results[name] = future.result()
                except Exception as error:  # noqa: BLE001  the caller decides which of them to raise
                    outcome.failed[name] = error
    outcome.done = {name: results[name] for name in needs if name in results}
    outcome.failed = {name: outcome.failed[name] for name in needs if name in outcome.failed}
    outcome.waiting = {name: tuple(each for each in needed if each not in results) for name, needed in left.items()}
    return outcome


def all_side_by_side(names: Iterable[str], work: Callable[[str], T]) -> dict[str, T]:
    """Calls `work` with each name, all at the same time. Raises the error of the first that has failed, once all have ended."""
    outcome = run_side_by_side(dict.fromkeys(names, ()), work)
    for error in outcome.failed.values():
        raise error
    return outcome.done


def rollback_needs(specs: Iterable[ComponentSpec], chosen: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Which components must be back before each of `chosen`: those that the migration changes after it, whatever lies between them."""
    after = {spec.name: spec.after for spec in specs}

    def earlier(name: str) -> set[str]:
        return {each for direct in after[name] for each in (direct, *earlier(direct))}

    before = {name: earlier(name) for name in after}
    return {name: tuple(each for each in chosen if name in before[each]) for name in chosen}
