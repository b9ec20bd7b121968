"""Kind ``caddy``: parts of Caddy's configuration, by its admin API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from shlex import quote
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote as quote_url

import httpx
from pydantic import AfterValidator, Field
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from rollback_provider.clients.http import Api, base_url
from rollback_provider.core.component import BlobReader, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.errors import (
    ComponentUnavailableError,
    ConfigurationError,
    StepFailedError,
    UnsupportedError,
)
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.words import plural
from rollback_provider.resources import (
    Batch,
    Change,
    Fields,
    MovedError,
    Options,
    ResourceComponent,
    State,
    parse_options,
    require_connection,
)

_WHOLE = "(value)"
"""The field that holds what is no object."""
_MEMBERS = "/*"
_HEADERS = {"Connection": "close"}
"""Caddy breaks connections to its admin API whenever somebody changes the configuration: none is used twice."""
_TRIES = 4
_PAUSE = 0.1
"""Seconds between two tries. With each change Caddy exchanges the listener of its admin API, and the next call may meet the old one."""
_MOVED = (404, 409, 412)
"""Answers to a write on what is not there any more, is there already, or has another ETag than it had."""


def _addressable(path: str) -> str:
    root, *parts = path.removesuffix(_MEMBERS).removeprefix("/").split("/")
    if root not in {"id", "config"} or not parts or not all(parts):
        raise ValueError("a path begins with /id/ or /config/ and names something below it")
    if any(part.isdecimal() or part == "*" for part in parts):
        raise ValueError("positions in lists shift: give the object an @id, and name it by that")
    return path


class CaddyOptions(Options):
    """Options of kind ``caddy``.

    :param paths: what is captured, as the admin API names it: ``/id/shop`` is an object with ``"@id": "shop"``; below
        ``/config/`` a path leads to any object or value, and with ``/*`` at its end to each member of an object
    """

    paths: tuple[Annotated[str, AfterValidator(_addressable)], ...] = Field(min_length=1)


class CaddyComponent(ResourceComponent):
    """Objects of Caddy's configuration; their fields are their members. Addresses are paths: ``/id/shop``."""

    kind: ClassVar[str] = "caddy"
    section: ClassVar[Literal["infrastructure"]] = "infrastructure"
    noun: ClassVar[str] = "objects"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._paths = parse_options(spec, CaddyOptions).paths
        self._connection = require_connection(spec)
        self._opened: Api | None = None
        tops = [path.removesuffix(_MEMBERS) + "/" for path in self._paths]
        if double := [top for top in tops if sum(each.startswith(top) for each in tops) > 1]:
            raise ConfigurationError(
                f"Some `paths` lie within {double[0]!r}", component=spec.name, next_step="Name each part once"
            )

    def identity(self) -> str:
        """Names the admin API and what of it is captured."""
        return f"caddy:{base_url(self.connections(self._connection))}:{','.join(sorted(self._paths))}"

    def read(self, blobs: BlobWriter) -> State:
        """Asks for each path."""
        return {address: fields for path in self._paths for address, fields in self._look(path)}

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Writes each object, if it still has the ETag of what was read. Caddy loads all of it or refuses and keeps what it has."""
        for done, change in enumerate(changes, start=1):
            self.stop_if_cancelled()
            for attempt in Retrying(
                retry=retry_if_exception_type(ComponentUnavailableError),
                stop=stop_after_attempt(_TRIES),
                wait=wait_fixed(_PAUSE),
                reraise=True,
            ):
                with attempt:
                    self._write(change)
            progress.update(f"write {self.spec.name}", done=done, total=len(changes), unit=self.noun)

    def command(self, change: Change) -> str:
        """Calls of curl."""
        url = quote(f"{base_url(self.connections(self._connection))}{quote_url(change.address)}")
        if change.target is None:
            return f"curl --fail-with-body -X DELETE {url}"
        body = quote(json.dumps(_value(change.target), sort_keys=True))
        return f"curl --fail-with-body -X {_method(change)} {url} --json {body}"

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """One step."""
        for change in changes:
            if change.now is None and change.address.startswith("/id/") and change.address.count("/") == 2:
                raise UnsupportedError(
                    f"The object {change.address!r} is gone, and its id does not say where it was",
                    component=self.spec.name,
                    next_step="Put it back by hand, then generate again; name what holds it by its path next time",
                )
        if changes:
            yield Batch(f"Restore {plural(len(changes), 'object')} of the configuration", changes)

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """What a file on disk still says."""
        if not changes:
            return ()
        return (
            "Caddy keeps this until a file is loaded again (caddy reload): take the file back, too",
            "Caddy loads its configuration anew: requests are finished, streams closed as its stream_close_delay says",
        )

    def close(self) -> None:
        """Closes the client."""
        super().close()
        if self._opened:
            self._opened.close()
            self._opened = None

    def _write(self, change: Change) -> None:
        value, tag = self._get(change.address)
        if _fields(value) != change.now:
            raise MovedError(f"{change.address} has been changed")
        answer = self._api().send(
            _method(change),
            quote_url(change.address),
            headers={"If-Match": tag},
            json=None if change.target is None else _value(change.target),
            accept=(*_MOVED, httpx.codes.INTERNAL_SERVER_ERROR),
        )
        if answer.status_code in _MOVED:
            raise MovedError(f"{change.address} has been changed")
        if answer.is_server_error:
            raise self._refused(change.address, answer)

    def _look(self, path: str) -> Iterator[tuple[str, Fields]]:
        address = path.removesuffix(_MEMBERS)
        value, _ = self._get(address)
        if address == path:
            if (fields := _fields(value)) is not None:
                yield path, fields
            return
        if not isinstance(value, dict | None):
            raise ConfigurationError(
                f"{address} is no object and has no members",
                component=self.spec.name,
                next_step=f"Name {address!r} whole",
            )
        for name, member in (value or {}).items():
            if "/" in name or not name:
                raise UnsupportedError(
                    f"{address} has a member {name!r}, which no path can name",
                    component=self.spec.name,
                    next_step=f"Name {address!r} whole",
                )
            if (fields := _fields(member)) is not None:
                yield f"{address}/{name}", fields

    def _get(self, address: str) -> tuple[Any, str]:
        """What is there, and its ETag; None where nothing is."""
        answer = self._api().get(quote_url(address), accept=(400, 404))
        if answer.status_code == httpx.codes.NOT_FOUND or "invalid traversal path" in answer.text[:200]:
            return None, ""
        tag = answer.headers.get("ETag", "")
        try:
            value = answer.json()
        except ValueError:
            value, tag = None, ""
        if not (answer.is_success and tag):
            raise StepFailedError(
                f"{address} was answered {answer.status_code} without a value and its ETag",
                component=self.spec.name,
                state="Nothing was changed by this",
                next_step="Check that the connection leads to the admin API of Caddy 2.4 or later",
            )
        return value, tag

    def _refused(self, address: str, answer: httpx.Response) -> StepFailedError | ComponentUnavailableError:
        said = " ".join(answer.text.split())[:300]
        if "loading new config" in said:
            return StepFailedError(f"Caddy refuses {address} and keeps what it has: {said}", component=self.spec.name)
        return ComponentUnavailableError(f"Caddy is broken: {said}", component=self.spec.name)

    def _api(self) -> Api:
        if self._opened is None:
            connection = self.connections(self._connection)
            auth = (connection.login, connection.password or "") if connection.login else None
            self._opened = Api(self.spec.name, connection, headers=_HEADERS, auth=auth)
        return self._opened


def _method(change: Change) -> str:
    return "DELETE" if change.target is None else "PUT" if change.now is None else "PATCH"


def _fields(value: Any) -> Fields | None:
    """A null is as good as nothing: Caddy answers both alike."""
    return value if isinstance(value, dict | None) else {_WHOLE: value}


def _value(fields: Fields) -> Any:
    return fields.get(_WHOLE, fields)
