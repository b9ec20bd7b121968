"""What an HTTP server must answer: a status, a text, values in its JSON, within a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import Field, field_validator

from rollback_provider.core.base import Json
from rollback_provider.core.checks import Options, read_options, required_connection
from rollback_provider.core.component import ConnectionResolver
from rollback_provider.core.verification import Area, Check, CheckSpec, CheckStatus
from rollback_provider.probes.json_path import follow, parse_path

SHOWN = 60
"""Characters of a value that are shown."""


class HttpOptions(Options):
    """What a check of the kind ``http`` takes. The connection holds the address, and login and password or headers.

    :param path: of a GET request, with its query
    :param status: what it must be answered with
    :param contains: text that the body must hold
    :param values: ``{"$.status": "ok"}``: what must be at these places of the body, which is JSON then
    :param max_seconds: how long the answer may take, connecting included
    """

    path: str = Field(default="/", pattern=r"^/([^/\s][^\s]*)?$")
    status: int = Field(default=200, ge=100, le=599)
    contains: str = ""
    values: Json = Field(default_factory=dict)
    max_seconds: float | None = Field(default=None, gt=0)

    @field_validator("values")
    @classmethod
    def _readable(cls, values: Json) -> Json:
        for path in values:
            parse_path(path)
        return values


class HttpCheck:
    """One GET request. Without an answer it is unknown."""

    kind: ClassVar[str] = "http"
    one_by_one: ClassVar[bool] = False

    def __init__(self, spec: CheckSpec) -> None:
        self.spec = spec
        self._options = read_options(HttpOptions, spec)
        self._connection = required_connection(spec)

    @property
    def statement(self) -> str:
        """The request, without its query."""
        return f"GET {self._options.path.partition('?')[0]}"

    def sealed(self) -> CheckSpec:
        """The declaration as it is: it refers to nothing."""
        return self.spec

    def run(self, connections: ConnectionResolver, baseline: Json | None) -> Sequence[Check]:
        """One check, with everything about the answer that is wrong."""
        from rollback_provider.probes.http import get
        from rollback_provider.probes.measuring import UnknownError

        connection = connections(self._connection)
        try:
            status, body, seconds = asyncio.run(get(connection, self._options.path, within=self.spec.timeout))
        except UnknownError as error:
            return [self._check(CheckStatus.UNKNOWN, detail=str(error))]
        wrong = list(self._wrong(status, body, seconds))
        return [
            self._check(
                CheckStatus.FAILED if wrong else CheckStatus.PASSED,
                expected=str(self._options.status),
                actual=str(status),
                detail=f"answered in {seconds:.3f} s",
                differences=tuple(wrong),
            )
        ]

    def _wrong(self, status: int, body: bytes, seconds: float) -> Iterator[str]:
        options = self._options
        if status != options.status:
            yield f"the status is {status}, not {options.status}"
        if options.contains and options.contains not in body.decode(errors="replace"):
            yield f"the body does not hold {_shown(options.contains)}"
        if options.max_seconds is not None and seconds > options.max_seconds:
            yield f"the answer took {seconds:.3f} s, more than {options.max_seconds:g} s"
        if options.values:
            yield from self._wrong_values(body)

    def _wrong_values(self, body: bytes) -> Iterator[str]:
        try:
            document = json.loads(body)
        except ValueError:
            yield "the body is not JSON"
            return
        for path, expected in self._options.values.items():
            try:
                found = follow(document, parse_path(path))
            except LookupError:
                yield f"the body has nothing at {path}"
                continue
            if type(found) is not type(expected) or found != expected:
                yield f"{path} is {_shown(found)}, not {_shown(expected)}"

    def _check(self, status: CheckStatus, **told: Any) -> Check:
        return Check(
            component=self._connection,
            name=self.spec.name,
            scope=f"GET {self._options.path.partition('?')[0]}",
            status=status,
            area=Area.FUNCTION,
            **told,
        )


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
