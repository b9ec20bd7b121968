"""Criteria of go and no-go: what has to be true before a migration begins. Each is one function; the set is open."""

from rollback_provider.criteria.criterion import Criterion, Evidence, evaluate, parse_criteria

__all__ = ["Criterion", "Evidence", "evaluate", "parse_criteria"]
