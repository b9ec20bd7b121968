"""Work on several components at the same time."""

from __future__ import annotations

from threading import Barrier

import pytest

from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.schedule import all_side_by_side, rollback_needs, run_side_by_side


def test_independent_work_runs_at_the_same_time() -> None:
    together = Barrier(3)
    assert all_side_by_side("abc", lambda name: (together.wait(10), name)[1]) == {"a": "a", "b": "b", "c": "c"}


def test_work_waits_for_what_it_needs() -> None:
    order: list[str] = []
    run_side_by_side({"c": ["a", "b"], "b": ["a"], "a": []}, order.append)
    assert order == ["a", "b", "c"]


def test_nothing_waits_for_what_it_does_not_need() -> None:
    """A chain goes on while another piece of work is still running."""
    together = Barrier(2)
    work = {"long": together.wait, "first": lambda _: 0, "second": together.wait}
    done = run_side_by_side({"long": (), "first": (), "second": ["first"]}, lambda name: work[name](10)).done
    assert list(done) == ["long", "first", "second"]


def test_a_failure_stops_what_needs_it_and_nothing_else() -> None:
    def work(name: str) -> str:
        if name == "a":
            raise ValueError(name)
        return name

    outcome = run_side_by_side({"a": [], "b": ["a"], "c": ["b"], "d": [], "e": ["d"]}, work)
    assert outcome.done == {"d": "d", "e": "e"}
    assert list(outcome.failed) == ["a"]
    assert outcome.waiting == {"b": ("a",), "c": ("b",)}


def test_the_first_failure_is_raised_when_all_have_ended() -> None:
    together = Barrier(2)

    def work(name: str) -> None:
        together.wait(10)
        raise ValueError(name)

    with pytest.raises(ValueError, match=r"^a$"):
        all_side_by_side("ab", work)


def test_a_worker_that_is_stopped_begins_nothing_more() -> None:
    begun: list[str] = []

    def work(name: str) -> None:
        begun.append(name)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_side_by_side({"a": (), "b": ["a"]}, work)
    assert begun == ["a"]


def test_needs_reach_over_components_that_are_not_chosen() -> None:
    specs = [
        ComponentSpec(kind="memory", name="db"),
        ComponentSpec(kind="memory", name="app", after=("db",)),
        ComponentSpec(kind="memory", name="traffic", after=("app",)),
        ComponentSpec(kind="memory", name="dns"),
    ]
    assert rollback_needs(specs, ["db", "traffic", "dns"]) == {"db": ("traffic",), "traffic": (), "dns": ()}
