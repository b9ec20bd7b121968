"""Words for counts."""

from __future__ import annotations


def plural(count: int, noun: str, nouns: str = "") -> str:
    """A count with its noun: ``1 step``, ``2,000 steps``, ``2 entries``."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"
