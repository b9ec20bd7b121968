"""Resources and their fields, as values that are stored, compared and changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from rollback_provider.core.component import BlobReader, BlobWriter
from rollback_provider.core.model import BlobRef

Fields = dict[str, Any]
"""What a resource holds, by field; values are JSON."""
State = dict[str, Fields]
"""All resources of a system, by address."""


@dataclass(frozen=True)
class Change:
    """One resource, as it is and as it is to be; None where there is none."""

    address: str
    now: Fields | None
    target: Fields | None


class MovedError(Exception):
    """A resource is not any more what it was when it was read, and nothing was written: the caller reads again and decides anew."""


class Digests:
    """Gives content its address without storing it, for reading what is only compared."""

    def put_blob(self, content: bytes) -> BlobRef:
        """The address of `content`."""
        return BlobRef(digest=sha256(content).hexdigest(), size=len(content), stored_size=0)

    def put_compressed(self, ref: BlobRef, data: bytes) -> None:
        """Does nothing."""


def save_state(blobs: BlobWriter, state: Mapping[str, Any]) -> str:
    """Stores a state as one blob; gives its address."""
    return blobs.put_blob(json.dumps(state, sort_keys=True).encode()).digest


def load_state(blobs: BlobReader, digest: str) -> State:
    """Reads a stored state."""
    state: State = json.loads(blobs.get_blob(digest))
    return state


def save_changes(blobs: BlobWriter, changes: Iterable[Change]) -> str:
    """Stores changes in their order as one blob; gives its address."""
    return blobs.put_blob(json.dumps([[c.address, c.now, c.target] for c in changes]).encode()).digest


def load_changes(blobs: BlobReader, digest: str) -> list[Change]:
    """Reads stored changes."""
    return [Change(*each) for each in json.loads(blobs.get_blob(digest))]


def as_text(fields: Mapping[str, Any] | None, names: Iterable[str]) -> dict[str, str | None] | None:
    """The named fields as the ledger shows them."""
    if fields is None:
        return None
    return {name: _text(fields[name]) for name in names if name in fields}


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, sort_keys=True)
