"""Runs work on several components at the same time, each as soon as those that it needs are done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
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
    """Calls `work` with each name of `needs`, after those that it needs. What can run at the same time does, in threads of its own.

    Where one fails, what needs it is not begun, and everything else goes on. What is no Exception (a worker that is stopped) ends it at
    once: nothing more is begun, and nothing that still runs is waited for.
    """
    outcome: Outcome[T] = Outcome()
    ended: SimpleQueue[tuple[str, T | BaseException]] = SimpleQueue()
    left = dict(needs)
    running = 0
    while True:
        ready = [name for name, needed in left.items() if outcome.done.keys() >= set(needed)]
        if not ready and not running:
            break
        if len(ready) == 1 and not running:
            _run(ready[0], work, ended)
        else:
            for name in ready:
                # A daemon, so that a second signal ends the process although a step cannot be cancelled.
                Thread(target=_run, args=(name, work, ended), name=name, daemon=True).start()
        left = {name: needed for name, needed in left.items() if name not in ready}
        running += len(ready)
        name, result = ended.get()
        running -= 1
        if isinstance(result, Exception):
            outcome.failed[name] = result
        elif isinstance(result, BaseException):
            raise result
        else:
            outcome.done[name] = result
    return Outcome(
        done={name: outcome.done[name] for name in needs if name in outcome.done},
        failed={name: outcome.failed[name] for name in needs if name in outcome.failed},
        waiting={name: tuple(each for each in needed if each not in outcome.done) for name, needed in left.items()},
    )


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


def _run(name: str, work: Callable[[str], T], ended: SimpleQueue[tuple[str, T | BaseException]]) -> None:
    try:
        ended.put((name, work(name)))
    except BaseException as error:  # noqa: BLE001  it is raised where it can be handled
        ended.put((name, error))
