"""Errors say what happened, to what, what is true now, and what to do; and survive the way between processes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from rollback_provider.core import errors
from rollback_provider.core.errors import DriftError, RollbackError, StepFailedError


def tree(root: type[RollbackError] = RollbackError) -> Iterator[type[RollbackError]]:
    """All errors."""
    yield root
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from tree(kind)


@pytest.mark.parametrize("kind", list(tree()))
def test_an_error_says_what_is_true_now(kind: type[RollbackError]) -> None:
    text = str(kind("It broke.", component="db"))
    assert text.startswith("db: It broke. ")
    assert ".." not in text
    assert text.endswith(".")
    assert len(text.split(". ")) >= 2


def test_the_tree_is_drawn() -> None:
    for kind in tree():
        assert kind.__name__ in (errors.__doc__ or "")


def test_the_next_step_comes_last() -> None:
    error = StepFailedError("Step 3 failed", component="db", next_step="Look at the log")
    assert str(error) == "db: Step 3 failed. The journal holds what was done. Look at the log."


def test_errors_travel_between_processes() -> None:
    error = DriftError("The system has changed", component="db", state="Half done", next_step="Wait")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - it is our own
    assert type(again) is DriftError
    assert str(again) == str(error)
    assert again.component == "db"
