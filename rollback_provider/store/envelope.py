"""The envelope of a document: format version, name, digest, and who wrote it."""

from __future__ import annotations

import json
import re
from typing import Any

from rollback_provider.core.base import Json
from rollback_provider.core.errors import ConfigurationError, FormatVersionError, IntegrityError
from rollback_provider.core.repository import digest_of

FORMAT = 1
"""The newest format this package reads, and the one it writes."""
_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}"
_NAME = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,7}}")


def is_name(name: str) -> bool:
    """Whether a document can have this name.

    It is made of segments of letters, digits, ``.``, ``_`` and ``-`` between slashes, and is not below ``blobs/``.
    """
    return bool(_NAME.fullmatch(name)) and name.partition("/")[0] != "blobs"


def seal(name: str, document: Json, writer: str) -> bytes:
    """The bytes to store. Raises ConfigurationError for what is not JSON.

    :param writer: a token of its own for each attempt to create a document, so that a writer recognises its own work
    """
    try:
        plain = json.loads(json.dumps(document))
        envelope = {"format": FORMAT, "name": name, "digest": digest_of(plain), "writer": writer, "document": plain}
        return json.dumps(envelope, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{name} cannot be written: it is not a JSON document ({error})") from error


def unseal(name: str, data: bytes, *, url: str) -> Json:
    """The document. Raises FormatVersionError before it looks at anything else, then IntegrityError."""
    envelope = _parse(name, data, url)
    version = envelope.get("format")
    if type(version) is not int or version < 1:
        raise IntegrityError(f"{url}: {name} does not say which format it has")
    if version > FORMAT:
        raise FormatVersionError(f"{url}: {name} has format {version}; this version reads formats up to {FORMAT}")
    if envelope.get("name") != name:
        raise IntegrityError(
            f"{url}: {name} holds a document that was written under another name: {envelope.get('name')!r}"
        )
    document = envelope.get("document")
    if not isinstance(document, dict) or envelope.get("digest") != _digest(document):
        raise IntegrityError(f"{url}: {name} is not what was written: its digest does not match")
    return document


def writer_of(data: bytes) -> str | None:
    """The token of the attempt that wrote this envelope; None where it is none."""
    try:
        envelope = json.loads(data)
    except (ValueError, RecursionError):
        return None
    token = envelope.get("writer") if isinstance(envelope, dict) else None
    return token if isinstance(token, str) else None


def _parse(name: str, data: bytes, url: str) -> dict[str, Any]:
    try:
        envelope = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{url}: {name} is damaged or cut short: it is not JSON") from error
    if not isinstance(envelope, dict):
        raise IntegrityError(f"{url}: {name} is not a sealed document")
    return envelope


def _digest(document: Json) -> str | None:
    try:
        return digest_of(document)
    except (ValueError, RecursionError):
        return None
