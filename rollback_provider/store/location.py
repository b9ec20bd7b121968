"""Store URLs, and the objects behind them."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from obstore.store import MemoryStore, S3Store

from rollback_provider.core.errors import ConfigurationError
from rollback_provider.store.failures import EXPECTED, translate_system
from rollback_provider.store.objects import LocalObjects, Objects

if TYPE_CHECKING:
    from obstore.store import RetryConfig, S3Config

S3_OPTIONS = frozenset(
    {
        "access_key_id",
        "allow_http",
        "endpoint",
        "region",
        "secret_access_key",
        "session_token",
        "virtual_hosted_style_request",
    }
)
"""Options of ``s3://`` stores. What is not given is taken from the usual ``AWS_*`` environment variables."""

_FORMS = "file:///absolute/path, s3://bucket/prefix or memory://name"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*")

_memory: dict[str, MemoryStore] = {}
_memory_lock = threading.Lock()


@dataclass(frozen=True)
class Patience:
    """How long an S3 request may take before it is given up.

    :param connect: for the connection
    :param request: for one request with its answer
    :param retries: how often a failed request is repeated at most
    :param total: no repetition begins after this time
    """

    connect: timedelta
    request: timedelta
    retries: int
    total: timedelta


OPENING = Patience(timedelta(seconds=3), timedelta(seconds=5), 2, timedelta(seconds=8))
"""For the few small objects read on opening: somebody waits, and a wrong endpoint must show soon (13 s at worst)."""
WORKING = Patience(timedelta(seconds=5), timedelta(seconds=120), 5, timedelta(seconds=60))
"""For all that follows: large blobs over slow lines, and a service that is away for a moment."""


@dataclass(frozen=True)
class Location:
    """A parsed store URL.

    :param url: in its normal form; holds no credentials
    :param place: the directory, the bucket, or the name of a store in memory
    :param prefix: folder within the bucket, without slashes around it; empty for its root
    """

    scheme: str
    url: str
    place: str
    prefix: str = ""


def parse_url(url: str) -> Location:
    """Raises ConfigurationError for anything that is not a store URL. No message repeats credentials."""
    if "://" not in url:
        raise ConfigurationError("The store's address is not a URL", next_step=f"Write it as {_FORMS}")
    try:
        parts = urlsplit(url)
        has_credentials = "@" in parts.netloc or parts.username is not None
    except ValueError as error:
        raise ConfigurationError("The store's URL is malformed", next_step=f"Write it as {_FORMS}") from error
    if has_credentials or parts.query or parts.fragment:
        raise ConfigurationError(
            f"The {parts.scheme} URL of the store holds credentials, a query or a fragment, and may hold neither",
            next_step="Give credentials and options in the connection, as options, or in the environment",
        )
    if parts.scheme == "file":
        return _file(parts.netloc, unquote(parts.path))
    if parts.scheme == "s3":
        return _s3(parts.netloc, unquote(parts.path))
    if parts.scheme == "memory":
        name = f"{parts.netloc}{parts.path}"
        if not name:
            raise ConfigurationError("The store in memory has no name", next_step="Write it as memory://name")
        return Location("memory", f"memory://{name}", name)
    raise ConfigurationError(f"Unknown kind of store: {parts.scheme}://", next_step=f"Write it as {_FORMS}")


def connect(location: Location, options: Mapping[str, Any], patience: Patience) -> Objects:
    """The objects at a location. Makes the directory of a file store; otherwise does no I/O.

    Raises ConfigurationError for options that the kind of store does not take, StoreUnavailableError for an unusable
    directory.
    """
    allowed = S3_OPTIONS if location.scheme == "s3" else frozenset()
    if unknown := sorted(set(options) - allowed):
        takes = f"takes {', '.join(sorted(allowed))}" if allowed else "takes none"
        raise ConfigurationError(
            f"{location.url} has options it does not take: {', '.join(unknown)}", next_step=f"It {takes}"
        )
    if location.scheme == "file":
        return _local_objects(location)
    if location.scheme == "s3":
        return _s3_objects(location, options, patience)
    with _memory_lock:
        return Objects(_memory.setdefault(location.place, MemoryStore()), location.url)


def _file(host: str, path: str) -> Location:
    if host not in {"", "localhost"} or not path.startswith("/"):
        raise ConfigurationError(
            "The path of the store is relative", next_step="Write it as file:///absolute/path, with three slashes"
        )
    normal = os.path.normpath(path)
    if normal.strip("/") == "":
        raise ConfigurationError(
            "The store cannot be the root directory", next_step="Name a directory of its own for it"
        )
    absolute = "/" + normal.lstrip("/")
    return Location("file", f"file://{quote(absolute)}", absolute)


def _s3(bucket: str, path: str) -> Location:
    if not _BUCKET.fullmatch(bucket):
        raise ConfigurationError(
            f"{bucket!r} is not the name of a bucket", next_step="Write the store as s3://bucket/prefix"
        )
    prefix = path.strip("/")
    if prefix and not all(_SEGMENT.fullmatch(segment) for segment in prefix.split("/")):
        raise ConfigurationError(
            f"{prefix!r} cannot be the prefix of a store",
            next_step="Use letters, digits, '.', '_', '=' and '-' between single slashes",
        )
    return Location("s3", f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}", bucket, prefix)


def _local_objects(location: Location) -> LocalObjects:
    root = Path(location.place)
    try:
        if not root.is_dir():
            root.parent.mkdir(parents=True, exist_ok=True)
            # A snapshot holds what the database holds: only its owner reads it, unless somebody makes the directory
            # beforehand.
            root.mkdir(mode=0o700, exist_ok=True)
        return LocalObjects(root, location.url)
    except OSError as error:
        raise translate_system(error, url=location.url, doing="making the store's directory") from error


def _s3_objects(location: Location, options: Mapping[str, Any], patience: Patience) -> Objects:
    given: dict[str, Any] = {name: value for name, value in options.items() if value not in {None, ""}}
    allow_http = _flag(given.pop("allow_http", _endpoint(given).startswith("http://")), "allow_http")
    if "virtual_hosted_style_request" in given:
        given["virtual_hosted_style_request"] = _flag(
            given["virtual_hosted_style_request"], "virtual_hosted_style_request"
        )
    config: S3Config = given  # type: ignore[assignment]  # the keys were checked above, obstore checks the values
    retry: RetryConfig = {"max_retries": patience.retries, "retry_timeout": patience.total}
    try:
        store = S3Store(
            location.place,
            prefix=location.prefix or None,
            config=config,
            client_options={"allow_http": allow_http, "connect_timeout": patience.connect, "timeout": patience.request},
            retry_config=retry,
        )
    except (*EXPECTED, TypeError) as error:
        # Not chained: the message may repeat an option's value.
        raise ConfigurationError(
            f"The options of {location.url} are malformed ({type(error).__name__})",
            next_step="Check endpoint, region and credentials",
        ) from None
    return Objects(store, location.url)


def _endpoint(options: Mapping[str, Any]) -> str:
    """The endpoint that obstore will use: whoever writes ``http://`` into it wants no encryption."""
    variables = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return str(options.get("endpoint") or next(filter(None, map(os.environ.get, variables)), ""))


def _flag(value: object, name: str) -> bool:
    text = str(value).lower()
    if text not in {"true", "false"}:
        raise ConfigurationError(f"The store's option {name} is neither true nor false")
    return text == "true"
