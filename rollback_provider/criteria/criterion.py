"""How criteria are declared and evaluated."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from rollback_provider.core.component import Component, ConnectionResolver
from rollback_provider.core.errors import ConfigurationError, RollbackError
from rollback_provider.core.model import Snapshot
from rollback_provider.core.verification import Check, CheckStatus
from rollback_provider.criteria import kinds
from rollback_provider.probes.declared import problems

if TYPE_CHECKING:
    from rollback_provider.store import SnapshotStore

PERSON = "person"
"""Kind of the criterion that a person's word is; whoever evaluates the others asks for it afterwards."""


@dataclass(frozen=True)
class Evidence:
    """What a criterion may look at.

    :param watch: told of each component before it is used, so that it can be cancelled
    """

    store: SnapshotStore
    snapshot: Snapshot
    connections: ConnectionResolver
    watch: Callable[[Component], None] = lambda _: None


@dataclass(frozen=True)
class Criterion:
    """A criterion as declared: a kind, and its options, checked."""

    kind: str
    options: dict[str, Any]


def parse_criteria(entries: Sequence[Any]) -> tuple[Criterion, ...]:
    """Criteria from plain data: ``[{"kind": "snapshot", "max_age": "PT30M"}, {"kind": "quiet"}]``.

    Raises ConfigurationError for none, for an unknown kind, and for options that the kind does not take.
    """
    if not entries:
        raise ConfigurationError("No criteria are given", next_step="Name at least one")
    return tuple(_parse(entry) for entry in entries)


def evaluate(criteria: Iterable[Criterion], evidence: Evidence) -> tuple[Check, ...]:
    """What each criterion finds, in order. What cannot be found out is unknown, with the reason. Reads only."""
    return tuple(check for each in criteria for check in _evaluate(each, evidence))


def _evaluate(criterion: Criterion, evidence: Evidence) -> Sequence[Check]:
    try:
        return list(kinds.KINDS[criterion.kind](evidence, **criterion.options))
    except RollbackError as error:
        unknown = CheckStatus.UNKNOWN
        return [Check(component=error.component or "", name=criterion.kind, status=unknown, detail=str(error))]


def _parse(entry: Any) -> Criterion:
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if kind not in kinds.KINDS:
        raise ConfigurationError(
            f"There is no criterion {kind!r}", next_step=f"Use one of: {', '.join(sorted(kinds.KINDS))}"
        )
    given = {key: value for key, value in entry.items() if key != "kind"}
    try:
        options = _options(kind).model_validate(given)
    except ValidationError as error:
        raise ConfigurationError(
            f"Criterion {kind} is malformed: {problems(error)}", next_step="Correct its declaration"
        ) from error
    return Criterion(kind, {name: getattr(options, name) for name in type(options).model_fields})


@cache
def _options(kind: str) -> type[BaseModel]:
    """The options of a kind: the keywords of its function."""
    function = kinds.KINDS[kind]
    hints = get_type_hints(function, vars(kinds), {"Evidence": Evidence}, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is inspect.Parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    return create_model(kind, __config__=ConfigDict(extra="forbid"), **fields)
