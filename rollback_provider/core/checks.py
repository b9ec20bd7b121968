"""Declared checks: what a kind of check promises, how a declaration is read, and how one is built.

A declaration is plain JSON and holds no secret, as a component's is. It is sealed in the snapshot, so that the same checks can be run after
the migration and after its rollback by anybody who knows an id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict, ValidationError

from rollback_provider.core.base import Json
from rollback_provider.core.component import ConnectionResolver
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.verification import Check, CheckSpec

ENTRY_POINTS = "rollback_provider.checks"
"""Entry point group: a package adds a kind with ``kind = "module:Class"``."""

BUILT_IN = {
    "callable": "rollback_provider.checks.function:CallableCheck",
    "expectations": "rollback_provider.checks.expectations:ExpectationsCheck",
    "http": "rollback_provider.checks.http:HttpCheck",
    "performance": "rollback_provider.checks.performance:PerformanceCheck",
    "probe": "rollback_provider.checks.probe:ProbeCheck",
    "sql": "rollback_provider.checks.sql:SqlCheck",
}


class Options(BaseModel):
    """Base of what a kind takes beyond the fields of :class:`~rollback_provider.core.verification.CheckSpec`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


OptionsT = TypeVar("OptionsT", bound=Options)


@runtime_checkable
class DeclaredCheck(Protocol):
    """A kind of check. Building one does no I/O, and raises ConfigurationError for options that make no sense."""

    kind: ClassVar[str]
    one_by_one: ClassVar[bool]
    """Whether checks of this kind run one after the other, beside those of other kinds; each has its whole time then."""
    spec: CheckSpec

    @property
    def statement(self) -> str:
        """The question that it puts, for people: a query, a path, a function. Free of secrets."""
        ...

    def sealed(self) -> CheckSpec:
        """The declaration with what it refers to in files in it. Raises ConfigurationError where they cannot be read or make no sense."""
        ...

    def run(self, connections: ConnectionResolver, baseline: Json | None) -> Sequence[Check]:
        """Measures, and changes nothing. What cannot be measured is unknown, or an exception, which the caller makes an unknown of.

        :param baseline: what `measure` gave before the migration, for a check that has it
        """
        ...


@runtime_checkable
class Comparing(Protocol):
    """A check that compares with what was measured before the migration."""

    def measure(self, connections: ConnectionResolver) -> Json:
        """What `run` will be given as the baseline. Changes nothing."""
        ...


def kinds() -> dict[str, str]:
    """All kinds, with the class that implements each as ``module:Class``."""
    return BUILT_IN | _added()


def build_check(spec: CheckSpec) -> DeclaredCheck:
    """Builds a check. Raises ConfigurationError for an unknown kind, a missing extra, or options the kind does not take."""
    known = kinds()
    if spec.kind not in known:
        raise ConfigurationError(
            f"Check {spec.name!r} is of the unknown kind {spec.kind!r}",
            next_step=f"Use one of: {', '.join(sorted(known))}",
        )
    module, _, name = known[spec.kind].partition(":")
    try:
        factory = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"Check {spec.name!r} needs the package {error.name!r}", next_step=f"pip install {error.name}"
        ) from error
    check: DeclaredCheck = factory(spec)
    return check


def parse_checks(entries: Sequence[Any]) -> tuple[CheckSpec, ...]:
    """Declarations from plain data: mappings. What is no field of :class:`CheckSpec` becomes an option of the kind.

    Raises ConfigurationError for anything malformed, an option that the kind does not take, and for a name used twice. Does no I/O.
    """
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise ConfigurationError(
            f"Checks must be a list, not {type(entries).__name__}", next_step='Write [{"kind": "sql", …}]'
        )
    specs = tuple(_parse(entry) for entry in entries)
    if repeated := [name for name, count in Counter(spec.name for spec in specs).items() if count > 1]:
        raise ConfigurationError(f"Names of checks are used twice: {', '.join(repeated)}")
    for spec in specs:
        build_check(spec)
    return specs


def read_options(kind: type[OptionsT], spec: CheckSpec) -> OptionsT:
    """The options of a check. Raises ConfigurationError, naming each that is wrong."""
    try:
        return kind.model_validate(spec.options)
    except ValidationError as error:
        raise ConfigurationError(f"Check {spec.name!r} is malformed: {_problems(error)}") from error


def required_connection(spec: CheckSpec) -> str:
    """The id of the connection. Raises ConfigurationError where the declaration names none."""
    if not spec.connection:
        raise ConfigurationError(
            f"Check {spec.name!r} names no connection",
            next_step='Give it "connection", the id of an Airflow connection',
        )
    return spec.connection


def _parse(entry: Any) -> CheckSpec:
    if isinstance(entry, CheckSpec):
        return entry
    if not isinstance(entry, Mapping):
        raise ConfigurationError(f"A check must be a mapping, not {type(entry).__name__}")
    fields = {key: value for key, value in entry.items() if key in CheckSpec.model_fields}
    options = {key: value for key, value in entry.items() if key not in CheckSpec.model_fields}
    try:
        return CheckSpec.model_validate(fields | {"options": fields.get("options", {}) | options})
    except ValidationError as error:
        raise ConfigurationError(f"Check {entry.get('name', '?')!r} is malformed: {_problems(error)}") from error
    except TypeError as error:
        raise ConfigurationError(f"Check {entry.get('name', '?')!r} is malformed: options must be a mapping") from error


def _problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'options'}: {e['msg']}" for e in error.errors())


@cache  # reading the metadata of all that is installed takes longer than many a check
def _added() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
