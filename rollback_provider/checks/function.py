"""A check that is a Python function of the user's."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar

from pydantic import Field, ValidationError

from rollback_provider.core.base import Json
from rollback_provider.core.checks import Options, read_options
from rollback_provider.core.component import ConnectionResolver
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.verification import Area, Check, CheckSpec, CheckStatus


class CallableOptions(Options):
    """What a check of the kind ``callable`` takes.

    :param callable: ``package.module:function``, importable wherever checks run
    :param arguments: passed by keyword; a parameter ``connection`` is given the declared connection beside them
    """

    callable: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")
    arguments: Json = Field(default_factory=dict)


class CallableCheck:
    """A function that says whether something holds.

    It returns True or False, or a mapping with ``status`` and what else a :class:`~rollback_provider.core.verification.Check` tells. An
    AssertionError is a failure, in its own words. Whatever else it raises, and no answer (None), is unknown.
    """

    kind: ClassVar[str] = "callable"
    one_by_one: ClassVar[bool] = False

    def __init__(self, spec: CheckSpec) -> None:
        self.spec = spec
        self._options = read_options(CallableOptions, spec)

    @property
    def statement(self) -> str:
        """The function."""
        return self._options.callable

    def sealed(self) -> CheckSpec:
        """The declaration as it is. Raises ConfigurationError where there is no such function."""
        self._function()
        return self.spec

    def run(self, connections: ConnectionResolver, baseline: Json | None) -> Sequence[Check]:
        """One check."""
        function, arguments = self._function(), dict(self._options.arguments)
        if self.spec.connection and "connection" in inspect.signature(function).parameters:
            arguments["connection"] = connections(self.spec.connection)
        try:
            answer = function(**arguments)
        except AssertionError as error:
            answer = {"status": CheckStatus.FAILED, "detail": re.sub(r"\s+", " ", str(error)) or "An assertion failed"}
        return [self._check(answer)]

    def _check(self, answer: Any) -> Check:
        if isinstance(answer, bool):
            answer = {"status": CheckStatus.PASSED if answer else CheckStatus.FAILED}
        elif not isinstance(answer, Mapping):
            what = "nothing" if answer is None else f"a {type(answer).__name__}"
            answer = {
                "status": CheckStatus.UNKNOWN,
                "detail": f"{self._options.callable} returned {what}: it must return True, False, or a mapping with a status",
            }
        usual = {
            "component": self.spec.connection or self.kind,
            "name": self.spec.name,
            "area": Area.FUNCTION,
        }
        try:
            return Check.model_validate({**usual, **answer})
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            return Check(
                status=CheckStatus.UNKNOWN, detail=f"{self._options.callable} returned no check: {problems}", **usual
            )

    def _function(self) -> Callable[..., Any]:
        module, _, name = self._options.callable.partition(":")
        try:
            found: Any = import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(
                f"Check {self.spec.name!r} finds no {self._options.callable}: {error}",
                next_step="Name a function of a module that can be imported on the worker",
            ) from error
        if not callable(found):
            raise ConfigurationError(f"Check {self.spec.name!r}: {self._options.callable} is no function")
        function: Callable[..., Any] = found
        return function
