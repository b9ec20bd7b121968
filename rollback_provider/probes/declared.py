"""What a user declares to be measured. Reading a declaration does no I/O and imports no client."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from rollback_provider.core.base import Model
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.probes.json_path import parse_path

Seconds = Annotated[float, Field(gt=0, le=300)]


class _Probe(Model):
    connection: str = Field(min_length=1)
    timeout: Seconds = 10.0


class SqlProbe(_Probe):
    """One number that a query on PostgreSQL gives, in a read-only transaction.

    :param connection: id of a connection of type ``postgres``; a replica will do
    :param query: one statement, whose answer is one row with one number or boolean
    :param timeout: seconds for all of it; the server ends the statement by itself, too
    """

    kind: Literal["sql"] = "sql"
    query: str = Field(min_length=1)


class HttpProbe(_Probe):
    """What a GET request is answered: the status code, unless one of the others is wanted.

    :param connection: id of a connection of type ``http``: login and password are sent as basic authentication, entries of its extra
        as headers
    :param path: of the request, with its query
    :param contains: measure 1 where the answer is a success (2xx) that contains this text, and 0 otherwise
    :param json_path: measure the number, or boolean, at this place of a successful answer: ``$.queues[0].length``
    :param latency: measure how many seconds a successful answer takes, connecting included
    :param timeout: seconds for all of it
    """

    kind: Literal["http"] = "http"
    path: str = Field(default="/", pattern=r"^/([^/\s][^\s]*)?$")
    contains: str | None = Field(default=None, min_length=1)
    json_path: str | None = None
    latency: bool = False

    @field_validator("json_path")
    @classmethod
    def _readable(cls, text: str | None) -> str | None:
        if text is not None:
            parse_path(text)
        return text

    @model_validator(mode="after")
    def _one_thing(self) -> HttpProbe:
        if sum((self.contains is not None, self.json_path is not None, self.latency)) > 1:
            raise ValueError("a probe measures one number: give one of contains, json_path and latency")
        return self


class PrometheusProbe(_Probe):
    """What an instant query to Prometheus gives: a scalar, or a vector with one element.

    No series, several, or a value that is not a number is no answer.

    :param connection: id of a connection of type ``http`` that leads to Prometheus
    :param query: in PromQL
    :param timeout: seconds for all of it
    """

    kind: Literal["prometheus"] = "prometheus"
    query: str = Field(min_length=1)


Probe = Annotated[SqlProbe | HttpProbe | PrometheusProbe, Field(discriminator="kind")]
_PROBE: TypeAdapter[Probe] = TypeAdapter(Probe)


def parse_probe(entry: Any) -> Probe:
    """A probe from plain data: ``{"kind": "sql", "connection": "orders_db", "query": "select count(*) from orders"}``.

    Raises ConfigurationError, which names what is wrong and shows no value.
    """
    try:
        return _PROBE.validate_python(entry)
    except ValidationError as error:
        raise ConfigurationError(
            f"A probe is malformed: {problems(error)}", next_step="Correct its declaration"
        ) from error


def problems(error: ValidationError) -> str:
    """What pydantic found, place by place, without the values."""
    found = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors(include_input=False)]
    return "; ".join(f"{place}: {what}" if place else what for place, what in found)
