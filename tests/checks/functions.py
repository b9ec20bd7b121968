"""What checks of the kind ``callable`` call."""

from __future__ import annotations

import time
from typing import Any

from rollback_provider.core.component import Connection


def holds(answer: Any = True) -> Any:  # noqa: FBT002  a check's arguments come by keyword
    """Returns what it is told to."""
    return answer


def asks(connection: Connection) -> dict[str, Any]:
    """Tells where it was led."""
    return {"status": "passed", "actual": connection.id}


def asserts() -> None:
    """Finds something wrong."""
    raise AssertionError("order 1 costs nothing")


def breaks() -> None:
    """Fails to find out."""
    raise ZeroDivisionError("no orders")


def sleeps() -> None:
    """Never answers, as far as a test can wait."""
    time.sleep(60)
