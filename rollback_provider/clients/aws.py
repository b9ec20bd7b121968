"""Speaks with a service of AWS, with the credentials of an Airflow connection of type ``aws``.

The connection means what it means to Airflow's amazon provider, whose session logic is used: keys, profile, region, endpoint, roles to
assume, ``config_kwargs``. A session factory that Airflow's configuration names is used, too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from shlex import quote
from typing import Any

from rollback_provider.core.component import Connection
from rollback_provider.core.errors import (
    ComponentUnavailableError,
    ConfigurationError,
    PermissionDeniedError,
    StepFailedError,
)

CONNECTION_TYPE = "aws"

_RETRIES = {"mode": "standard", "total_max_attempts": 4}
_CONNECT_TIMEOUT = 5
_READ_TIMEOUT = 30
_SAID = 300
"""Characters of a service's answer that an error shows."""
_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "AuthorizationError",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
}
_OVERLOADED = {
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
}


class Aws:
    """One service. Calls that meet throttling or a broken connection are tried again, in botocore's standard mode.

    :param component: the component's name, for errors
    :param service: as boto3 names it: ``elbv2``
    :param region: wins over the connection's
    """

    def __init__(self, component: str, connection: Connection, service: str, *, region: str | None = None) -> None:
        if connection.type != CONNECTION_TYPE:
            raise ConfigurationError(
                f"Connection {connection.id!r} has type {connection.type!r}, not {CONNECTION_TYPE!r}",
                component=component,
                next_step=f"Name a connection of type {CONNECTION_TYPE}",
            )
        self._component = component
        self._connection = connection.id
        self._service = service
        with self._errors("session"):
            try:
                self._document = json.dumps(asdict(connection), sort_keys=True)
                self._client = _client(self._document, service, region)
            except (KeyError, NotImplementedError, TypeError, ValueError) as error:
                raise self._unusable(error) from None

    def place(self) -> str:
        """Account and region, as an identity names them, whoever asks: ``123456789012:eu-central-1``. Raises what `call` raises."""
        region = self._client.meta.region_name
        with self._errors("get_caller_identity"):
            return f"{_account(self._document, region)}:{region}"

    def call(self, operation: str, *, accept: Collection[str] = (), **parameters: Any) -> dict[str, Any]:
        """Calls an operation, by boto3's name for it, and gives the answer.

        :param accept: error codes that the caller understands; the answer then holds ``Error`` with a ``Code``

        Raises ConfigurationError where the connection has no usable credentials, PermissionDeniedError where they are refused,
        ComponentUnavailableError where there is no answer or the service is overloaded (a write may have happened), and StepFailedError
        with the service's words for what else it refuses.
        """
        with self._errors(operation):
            try:
                answer: dict[str, Any] = getattr(self._client, operation)(**parameters)
            except self._client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] not in accept:
                    raise
                answer = error.response
        return answer

    def items(self, operation: str, key: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """All items that an operation lists under `key`, page by page. Raises what `call` raises."""
        with self._errors(operation):
            for page in self._client.get_paginator(operation).paginate(**parameters):
                yield from page[key]

    @contextmanager
    def _errors(self, operation: str) -> Iterator[None]:
        from botocore import exceptions

        what = f"{self._service} {operation}"
        try:
            yield
        except exceptions.ClientError as error:
            raise self._refused(what, error.response) from None
        except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
            raise ComponentUnavailableError(
                f"{what}: AWS gives no answer ({type(error).__name__})", component=self._component
            ) from None
        except exceptions.ParamValidationError:
            raise StepFailedError(
                f"{what} does not take these parameters (their values are not shown)", component=self._component
            ) from None
        except exceptions.BotoCoreError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"Connection {self._connection!r} gives no session of AWS that can be used ({type(error).__name__})",
            component=self._component,
            next_step="Give the connection credentials, a role or a profile, and a region",
        )

    def _refused(self, what: str, response: dict[str, Any]) -> Exception:
        code = str(response["Error"].get("Code", ""))
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _DENIED or status in {401, 403}:
            return PermissionDeniedError(
                f"{what} was refused: {code}",
                component=self._component,
                next_step=f"Give the connection's identity the permission for {what}, and check that its keys are valid",
            )
        if code in _OVERLOADED or status == 429 or status >= 500:
            return ComponentUnavailableError(f"{what} was not served: {code}", component=self._component)
        said = " ".join(str(response["Error"].get("Message", "")).split())[:_SAID]
        return StepFailedError(f"{what} was refused: {code}: {said}", component=self._component)


def command_line(service: str, operation: str, parameters: Mapping[str, Any], *options: str) -> str:
    """A call as the command line of AWS takes it.

    :param operation: by boto3's name for it
    :param options: written as they are, for what a person's shell is to find out; they win over `parameters`
    """
    words = ["aws", service, operation.replace("_", "-"), *options]
    if parameters:
        words += ["--cli-input-json", quote(json.dumps(parameters, sort_keys=True))]
    return " ".join(words)


@lru_cache(maxsize=32)
def _account(document: str, region: str) -> str:
    """The account of a connection's credentials."""
    return str(_client(document, "sts", region).get_caller_identity()["Account"])


@lru_cache(maxsize=32)
def _client(document: str, service: str, region: str | None) -> Any:
    """A client, shared by all that use the same connection: it is safe for threads, and takes long to make."""
    from airflow.providers.amazon.aws.hooks.base_aws import SessionFactory
    from airflow.providers.amazon.aws.utils.connection_wrapper import AwsConnectionWrapper
    from botocore.config import Config

    connection = Connection(**json.loads(document))
    wrapper = AwsConnectionWrapper.from_connection_metadata(
        connection.id, connection.login, connection.password, connection.extra
    )
    config = Config(retries=_RETRIES, connect_timeout=_CONNECT_TIMEOUT, read_timeout=_READ_TIMEOUT)
    return (
        SessionFactory(conn=wrapper, region_name=region)
        .create_session()
        .client(
            service,
            endpoint_url=wrapper.get_service_endpoint_url(service),
            config=config.merge(wrapper.botocore_config) if wrapper.botocore_config else config,
            verify=wrapper.verify,
        )
    )
