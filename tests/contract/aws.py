"""What harnesses of services of AWS share. All are emulated by one moto server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from rollback_provider.core.component import Connection
from tests.fix_store import S3
from tests.parts import free_port


class AwsHarness:
    """The connection of a service that moto emulates.

    :param s3: moto's server, which speaks for other services, too
    """

    def __init__(self, s3: S3) -> None:
        self.cloud = s3
        self.endpoint = s3.endpoint
        """Where the connection leads."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The key."""
        return (self.cloud.options["secret_access_key"],)

    def resolve(self, connection_id: str) -> Connection:
        """The server that emulates AWS."""
        connection = self.cloud.connection(connection_id)
        return replace(connection, extra=connection.extra | {"endpoint_url": self.endpoint})

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Nobody listens where the connection leads."""
        there, self.endpoint = self.endpoint, NOWHERE
        yield
        self.endpoint = there

    def wrong_credentials(self) -> AbstractContextManager[None]:
        """Nobody knows the keys."""
        return self.cloud.authenticated()


NOWHERE = f"http://127.0.0.1:{free_port()}"
