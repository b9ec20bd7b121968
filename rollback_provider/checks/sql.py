"""What must hold in a database, as a query: it gives no row that is wrong, or one number that is right."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

from pydantic import Field

from rollback_provider.checks.database import fetch, reading
from rollback_provider.core.base import Json
from rollback_provider.core.checks import Options, read_options, required_connection
from rollback_provider.core.component import ConnectionResolver
from rollback_provider.core.verification import Area, Check, CheckSpec, CheckStatus

SHOWN = 10
"""Rows that a check shows; it counts up to `COUNTED`."""
COUNTED = 10_000
VALUE = 60
"""Characters of a value that are shown."""


class SqlOptions(Options):
    """What a check of the kind ``sql`` takes.

    :param sql: one statement that reads. It must give no row, each row being something that is wrong; with a bound, one value
    :param equals: the value must be this; compared as text unless both are numbers
    :param min: the value must be a number and no less
    :param max: the value must be a number and no more
    """

    sql: str = Field(min_length=1)
    equals: int | float | str | bool | None = None
    min: int | float | None = None
    max: int | float | None = None

    @property
    def bounds(self) -> str:
        """The bounds in words; empty where there are none."""
        words = [(self.equals, "equal to"), (self.min, "at least"), (self.max, "at most")]
        return " and ".join(f"{word} {value}" for value, word in words if value is not None)


class SqlCheck:
    """A query that a user has written, run in a read-only transaction."""

    kind: ClassVar[str] = "sql"
    one_by_one: ClassVar[bool] = False

    def __init__(self, spec: CheckSpec) -> None:
        self.spec = spec
        self._options = read_options(SqlOptions, spec)
        self._connection = required_connection(spec)

    @property
    def statement(self) -> str:
        """The query."""
        return self._options.sql

    def sealed(self) -> CheckSpec:
        """The declaration as it is: it refers to nothing."""
        return self.spec

    def run(self, connections: ConnectionResolver, baseline: Json | None) -> Sequence[Check]:
        """One check. Where there is no value, it is unknown."""
        with reading(connections(self._connection), self.spec.timeout) as session:
            names, rows = fetch(session, self._options.sql, 2 if self._options.bounds else COUNTED + 1)
        return [self._value(names, rows) if self._options.bounds else self._no_rows(names, rows)]

    def _no_rows(self, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Check:
        if not names:
            return self._check(CheckStatus.UNKNOWN, detail="The SQL gives no result: write a query")
        count = f"{len(rows):,}" if len(rows) <= COUNTED else f"more than {COUNTED:,}"
        return self._check(
            CheckStatus.FAILED if rows else CheckStatus.PASSED,
            expected="no rows",
            actual=f"{count} row{'' if len(rows) == 1 else 's'}",
            detail=f"{count} rows, of which {SHOWN} are shown" if len(rows) > SHOWN else "",
            differences=tuple(
                ", ".join(f"{name} {_shown(value)}" for name, value in zip(names, row, strict=True))
                for row in rows[:SHOWN]
            ),
        )

    def _value(self, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Check:
        expected = self._options.bounds
        if len(names) != 1 or len(rows) > 1:
            return self._check(
                CheckStatus.UNKNOWN,
                expected=expected,
                detail=f"A bound needs one value, and the SQL gives {len(names)} columns, {len(rows)} rows or more",
            )
        value = rows[0][0] if rows else None
        if value is None:
            return self._check(CheckStatus.UNKNOWN, expected=expected, detail="The SQL gives no value")
        holds = _holds(value, self._options)
        if holds is None:
            return self._check(
                CheckStatus.UNKNOWN,
                expected=expected,
                actual=_shown(value),
                detail="The value is no number, so it has no place between bounds",
            )
        return self._check(CheckStatus.PASSED if holds else CheckStatus.FAILED, expected=expected, actual=_shown(value))

    def _check(self, status: CheckStatus, **told: Any) -> Check:
        return Check(component=self._connection, name=self.spec.name, status=status, area=Area.BUSINESS_RULES, **told)


def _holds(value: Any, options: SqlOptions) -> bool | None:
    """Whether a value is within the bounds; None where it cannot be compared with them."""
    if options.equals is not None:
        mine, theirs = _number(value), _number(options.equals)
        same = mine == theirs if mine is not None and theirs is not None else _text(value) == _text(options.equals)
        if not same:
            return False
    if options.min is None and options.max is None:
        return True
    number = _number(value)
    if number is None:
        return None
    low, high = (None if bound is None else Decimal(str(bound)) for bound in (options.min, options.max))
    return (low is None or number >= low) and (high is None or number <= high)


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(str(value))
    return None if number.is_nan() else number


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: Any) -> str:
    text = "null" if value is None else _text(value)
    return text if len(text) <= VALUE else f"{text[:VALUE]}…"
