"""Opens a store: checks its format, and for a new one that it can be trusted to create an object only once."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from rollback_provider.core.errors import AlreadyExistsError, NotFoundError, StoreError, StoreUnavailableError
from rollback_provider.core.model import utcnow
from rollback_provider.store.location import OPENING, WORKING, connect, parse_url
from rollback_provider.store.snapshot_store import SnapshotStore

MARKER = "store"
"""Name of the document that says that this is a store, and in which format."""


def open_store(url: str, options: Mapping[str, Any] | None = None) -> SnapshotStore:
    """Opens the store at `url`; the first time, makes it one.

    :param url: ``file:///absolute/path`` (made if missing), ``s3://bucket/prefix``, or ``memory://name``, which is the
        same store for everybody in this process
    :param options: for ``s3``: ``endpoint``, ``region``, ``access_key_id``, ``secret_access_key``, ``session_token``,
        ``allow_http`` (default: whether the endpoint begins with ``http://``), ``virtual_hosted_style_request``. What
        is not given comes from the ``AWS_*`` variables.

    Raises ConfigurationError for a URL or options that make no sense, StoreUnavailableError (within 15 seconds),
    FormatVersionError for a store of a newer format, IntegrityError for a damaged marker, StoreError for a bucket that
    ignores conditional writes.
    """
    location = parse_url(url)
    given = dict(options or {})
    _check(SnapshotStore(connect(location, given, OPENING)))
    return SnapshotStore(connect(location, given, WORKING))


def _check(store: SnapshotStore) -> None:
    try:
        store.read(MARKER)
    except NotFoundError:
        _probe(store)
        _mark(store)


def _mark(store: SnapshotStore) -> None:
    try:
        store.create(MARKER, {"kind": "rollback-provider snapshot store", "created": utcnow().isoformat()})
    except AlreadyExistsError:
        store.read(MARKER)


def _probe(store: SnapshotStore) -> None:
    """Creates one object twice. A service that lets the second write pass would let two rollbacks own one database."""
    name = f"probe/{secrets.token_hex(16)}"
    try:
        store.create(name, {})
    except NotFoundError as error:
        raise StoreUnavailableError(
            f"{store.url} does not exist", next_step="Create the bucket, or correct the store's URL"
        ) from error
    try:
        store.create(name, {})
    except AlreadyExistsError:
        return
    finally:
        store.delete(name)
    raise StoreError(
        f"{store.url} ignores conditional writes (If-None-Match): a second writer overwrites what the first created",
        state="The store was not set up, and nothing was kept in it",
        next_step="Use a service that honours them, such as AWS S3 or MinIO, or a file store",
    )
