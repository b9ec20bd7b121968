"""Sequence values. A sequence moves forward only: setting it back would hand out a value twice."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rollback_provider.components.postgres.session import Session
from rollback_provider.core.base import Json


def sequence_values(session: Session, names: Sequence[str]) -> Json:
    """``{name: [last_value, is_called]}`` for sequences, named as SQL."""
    values: Json = {}
    for start in range(0, len(names), 200):
        part = names[start : start + 200]
        queries = [f"select {i}, last_value, is_called from {name}" for i, name in enumerate(part)]  # noqa: S608  quoted by the server
        for i, last, called in session.execute(" union all ".join(queries).encode()).fetchall():
            values[part[i]] = [last, called]
    return values


def behind(session: Session, then: Json, recreated: Collection[str]) -> Json:
    """Values to set: of sequences that are created again, and of those that the migration has set back."""
    kept = [name for name in then if name not in recreated]
    present = session.execute(
        "select name from unnest(%s::text[]) name where to_regclass(name) is not null", [kept]
    ).fetchall()
    now = sequence_values(session, [name for (name,) in present])
    return {
        name: value
        for name, value in then.items()
        if name in recreated or name not in now or is_behind(now[name], value)
    }


def is_behind(now: list[int], then: list[int]) -> bool:
    """Whether a sequence stands before where it stood, and so could give out a value again."""
    return (now[0], bool(now[1])) < (then[0], bool(then[1]))
